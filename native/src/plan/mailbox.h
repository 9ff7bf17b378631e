// Reader of a `.mailbox` that has nothing wrong (3x-profile.md, "`.mailbox`"). It takes less than the format allows and
// says so: whatever it does not take is read by src/source/nsms3/mailbox.ts, which knows what to do about damage. What
// both take they read alike.
//
//     NSMB 3 <uidvalidity> <uidnext> LF
//     <uid> <internaldate> <flags> <size> <file name> LF      any number of them
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mailhaul::plan {

struct Header {
  std::uint32_t uidvalidity = 0;
  std::uint32_t uidnext = 0;
};

/// A line; views end with the line's buffer.
struct Line {
  std::uint32_t uid = 0;
  double date = 0;            ///< seconds since 1970
  std::uint32_t flags = 0;    ///< FLAG of src/engine/types.ts
  double size = 0;            ///< bytes
  std::string_view keywords;  ///< with the comma before each; empty for none
  std::string_view name;
};

/// False: not a header, or not one that is taken here. `line` is without its LF.
[[nodiscard]] bool parseHeader(std::string_view line, Header& out) noexcept;

/// False: not a line that is taken here. Its keywords are not looked at.
[[nodiscard]] bool parseLine(std::string_view line, Line& out) noexcept;

/// The keywords of a folder: those that differ in case only are one, spelled as at first.
class Keywords {
 public:
  /// Adds the references of the next message, ascending, to `refs`. False: one is not an atom, or there are too many.
  /// Throws std::bad_alloc.
  [[nodiscard]] bool add(std::string_view list, std::vector<std::uint32_t>& refs);
  [[nodiscard]] const std::vector<std::string>& table() const noexcept { return table_; }

 private:
  std::vector<std::string> table_;
  std::unordered_map<std::string, std::uint32_t> byFold_;
  std::vector<std::uint64_t> namedBy_;  ///< by keyword: the message that named it last
  std::uint64_t message_ = 0;
};

/// What is taken at most; all below LIMITS of src/source/nsms3/columns.ts.
inline constexpr std::size_t kDigits = 15;  ///< of a number, which a double holds exactly
inline constexpr std::size_t kLineBytes = std::size_t{64} << 10;
inline constexpr std::uint64_t kFileBytes = std::uint64_t{1} << 30;
inline constexpr std::size_t kMessages = std::size_t{1} << 24;
inline constexpr std::size_t kKeywords = 512;  ///< few enough that prepared ones, all with one hash, cost nothing

}  // namespace mailhaul::plan
