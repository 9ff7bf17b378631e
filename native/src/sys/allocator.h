// How malloc of this process deals with large pieces of memory.
#pragma once

namespace mailhaul::sys {

/// What is freed in large pieces goes back to the system at once, from now on and in the whole process. By itself glibc
/// raises the size from which it does that, with every larger piece that it sees freed, up to 32 MiB: the arena of each
/// thread then keeps what the largest folder needed.
void returnFreedMemory() noexcept;

}  // namespace mailhaul::sys
