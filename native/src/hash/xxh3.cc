#include "hash/xxh3.h"

#include <cstring>
#include <new>

#include "sys/processor.h"

#if defined(__x86_64__)
#define MAILHAUL_HASH_AVX2 1
#include <immintrin.h>
// The header builds its AVX2 loop beside the one of the compiler's flags, as upstream's xxh_x86dispatch.c lets it.
// AVX-512 was measured: 8 KB in 106 ns instead of 134 (SSE2: 263), too little for a third loop to look after.
#define XXH_X86DISPATCH 1
#define XXH_DISPATCH_AVX2 1
#define XXH_TARGET_AVX2 __attribute__((target("avx2")))
#endif
// The vendored header is compiled with its own warnings off (a SYSTEM include).
#define XXH_INLINE_ALL
#include <xxhash/xxhash.h>

namespace mailhaul::hash {
namespace {

#ifdef MAILHAUL_HASH_AVX2

__attribute__((target("avx2"))) XXH128_hash_t long128(const std::uint8_t* data, std::size_t bytes) noexcept {
  return XXH3_hashLong_128b_internal(data, bytes, XXH3_kSecret, sizeof XXH3_kSecret, XXH3_accumulate_512_avx2,
                                     XXH3_scrambleAcc_avx2);
}

__attribute__((target("avx2"))) XXH64_hash_t long64(const std::uint8_t* data, std::size_t bytes) noexcept {
  return XXH3_hashLong_64b_internal(data, bytes, XXH3_kSecret, sizeof XXH3_kSecret, XXH3_accumulate_512_avx2,
                                    XXH3_scrambleAcc_avx2);
}

__attribute__((target("avx2"))) void addAvx2(XXH3_state_t& state, std::span<const std::uint8_t> piece) noexcept {
  static_cast<void>(XXH3_update(&state, piece.data(), piece.size(), XXH3_accumulate_512_avx2, XXH3_scrambleAcc_avx2));
}

bool hasAvx2() noexcept { return sys::vectors() == sys::Vectors::avx2; }

/// Short input has loops of its own, which are the same everywhere.
bool wantsAvx2(std::size_t bytes) noexcept { return bytes > XXH3_MIDSIZE_MAX && hasAvx2(); }

XXH128_hash_t hash128(std::span<const std::uint8_t> data) noexcept {
  return wantsAvx2(data.size()) ? long128(data.data(), data.size()) : XXH3_128bits(data.data(), data.size());
}

XXH64_hash_t hash64(std::span<const std::uint8_t> data) noexcept {
  return wantsAvx2(data.size()) ? long64(data.data(), data.size()) : XXH3_64bits(data.data(), data.size());
}

void addTo(XXH3_state_t& state, std::span<const std::uint8_t> piece) noexcept {
  if (hasAvx2()) {
    addAvx2(state, piece);
  } else {
    static_cast<void>(XXH3_128bits_update(&state, piece.data(), piece.size()));
  }
}

#else

XXH128_hash_t hash128(std::span<const std::uint8_t> data) noexcept { return XXH3_128bits(data.data(), data.size()); }

XXH64_hash_t hash64(std::span<const std::uint8_t> data) noexcept { return XXH3_64bits(data.data(), data.size()); }

void addTo(XXH3_state_t& state, std::span<const std::uint8_t> piece) noexcept {
  static_cast<void>(XXH3_128bits_update(&state, piece.data(), piece.size()));
}

#endif

Digest canonicalOf(const XXH128_hash_t& hash) noexcept {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  Digest out;
  static_assert(sizeof canonical.digest == sizeof out);
  std::memcpy(out.data(), canonical.digest, sizeof out);
  return out;
}

}  // namespace

Digest digest(std::span<const std::uint8_t> data) noexcept { return canonicalOf(hash128(data)); }

Stream::Stream() noexcept {
  static_assert(sizeof(XXH3_state_t) <= sizeof state_ && alignof(XXH3_state_t) <= alignof(Stream));
  static_cast<void>(XXH3_128bits_reset(new (state_.data()) XXH3_state_t));
}

void Stream::add(std::span<const std::uint8_t> piece) noexcept {
  addTo(*std::launder(reinterpret_cast<XXH3_state_t*>(state_.data())), piece);
}

Digest Stream::digest() const noexcept {
  return canonicalOf(XXH3_128bits_digest(std::launder(reinterpret_cast<const XXH3_state_t*>(state_.data()))));
}

std::uint64_t check64(std::span<const std::uint8_t> data) noexcept { return hash64(data); }

}  // namespace mailhaul::hash
