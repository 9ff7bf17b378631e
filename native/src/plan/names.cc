#include "plan/names.h"

#include <bit>
#include <cstring>

namespace mailhaul::plan {
namespace {

struct State {
  std::uint64_t v0, v1, v2, v3;

  void round() noexcept {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }

  void word(std::uint64_t m) noexcept {
    v3 ^= m;
    round();
    v0 ^= m;
  }
};

}  // namespace

std::uint64_t hashName(std::string_view name, const NameKey& key) noexcept {
  State s{0x736f6d6570736575 ^ key.k0, 0x646f72616e646f6d ^ key.k1, 0x6c7967656e657261 ^ key.k0,
          0x7465646279746573 ^ key.k1};
  std::uint64_t last = static_cast<std::uint64_t>(name.size()) << 56;
  for (; name.size() >= 8; name.remove_prefix(8)) {
    std::uint64_t m = 0;
    std::memcpy(&m, name.data(), 8);
    s.word(m);
  }
  for (std::size_t i = 0; i < name.size(); ++i) {
    last |= static_cast<std::uint64_t>(static_cast<unsigned char>(name[i])) << (8 * i);
  }
  s.word(last);
  s.v2 ^= 0xff;
  for (int i = 0; i < 3; ++i) s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

std::uint32_t Names::find(std::string_view wanted) {
  if (next_ < count() && name(next_) == wanted) return next_++;
  if (slots_.empty()) fill();
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t slot = hashName(wanted, key_) & mask; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const std::uint32_t number = slots_[slot] - 1;
    if (name(number) != wanted) continue;
    next_ = number + 1;
    return number;
  }
  return kNone;
}

void Names::fill() {
  slots_.resize(std::bit_ceil(count() * 2 + 4));
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = 0; i < count(); ++i) {
    std::size_t slot = hashName(name(i), key_) & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = static_cast<std::uint32_t>(i + 1);
  }
}

}  // namespace mailhaul::plan
