// The plan of a folder that has nothing wrong, as nearly all have: every message has a line and every line a message,
// in ascending uid. Of such a folder nothing has to be decided (src/upgrade/plan.ts decides for all others), so it is
// planned in one pass over its index, without a column of lines between:
//
//     .mailbox ── 256 KiB at a time ──▶ line ──▶ its file in the scan ──▶ row of the plan
//
// A plan that comes from here is the one that plan.ts makes; test/upgrade/plan-plain.test.ts compares them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "plan/mailbox.h"
#include "plan/names.h"

namespace mailhaul::plan {

/// Columns of DirectoryScan (src/engine/types.ts), all of one length but the names.
struct ScanColumns {
  std::span<const std::uint8_t> names;
  std::span<const std::uint32_t> nameOffsets;
  std::span<const double> sizes;
  std::span<const std::uint32_t> modes;
  std::span<const std::uint32_t> uids;
};

/// Whose files are taken (3x-profile.md, "file of another owner").
struct Rules {
  std::uint32_t ownerUid = 0;
  bool takeForeign = false;
};

/// Messages in ascending uid.
struct Plain {
  Header header;
  std::uint32_t uidnext = 0;         ///< above all uids, and not below the header's
  std::vector<std::uint32_t> files;  ///< number in the scan
  std::vector<std::uint32_t> uids;
  std::vector<double> dates;
  std::vector<std::uint32_t> flags;
  std::vector<std::uint32_t> keywordOffsets;
  std::vector<std::uint32_t> keywordRefs;
  std::vector<std::string> keywords;
  std::size_t nameBytes = 0;
};

/// Reads the index from the descriptor's position. Nothing: the folder is not plain, or its index cannot be read.
/// Throws std::bad_alloc.
[[nodiscard]] std::optional<Plain> planPlain(int indexFd, const ScanColumns& scan, const Rules& rules,
                                             const NameKey& key);

}  // namespace mailhaul::plan
