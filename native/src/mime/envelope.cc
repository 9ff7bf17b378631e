#include "envelope.h"

#include <array>

namespace mailhaul::mime {
namespace {

using Fields = std::span<const HeaderField>;

/// Writes the list and returns true, or writes nothing when no field of this kind holds an address.
bool writeList(Bytes data, Fields fields, Field kind, Writer& out, AddressScratch& scratch) {
  const std::size_t before = out.size();
  out.byte('(');
  std::size_t count = 0;
  for (const HeaderField& field : fields) {
    if (field.kind == kind) count = writeAddresses(data, field.value, count, out, scratch);
  }
  if (count == 0) {
    out.truncate(before);
    return false;
  }
  out.byte(')');
  return true;
}

}  // namespace

void writeText(Bytes data, const HeaderField* field, Writer& out, Writer& scratch) {
  if (field == nullptr) {
    out.nil();
    return;
  }
  const auto [start, end] = field->value;
  if (findByte(data, start, end, '\n') == end) {
    out.string(data.subspan(start, end - start));
    return;
  }
  scratch.clear();
  scratch.unfolded(data, start, end);
  out.string(scratch.view());
}

void writeEnvelope(Bytes data, Fields fields, Writer& out, AddressScratch& scratch) {
  constexpr std::size_t kinds = static_cast<std::size_t>(Field::messageId) + 1;
  std::array<const HeaderField*, kinds> last{};
  for (const HeaderField& field : fields) {
    if (field.kind <= Field::messageId) last[static_cast<std::size_t>(field.kind)] = &field;
  }
  // The From list within `out`; empty when there is none.
  Span from;
  out.byte('(');
  for (std::size_t i = 0; i < kinds; i++) {
    const auto kind = static_cast<Field>(i);
    if (i > 0) out.byte(' ');
    if (kind < Field::from || kind > Field::bcc) {
      writeText(data, last[i], out, scratch.name);
      continue;
    }
    const std::size_t start = out.size();
    if (last[i] != nullptr && writeList(data, fields, kind, out, scratch)) {
      if (kind == Field::from) from = {start, out.size()};
    } else if ((kind == Field::sender || kind == Field::replyTo) && from.end > 0) {
      out.repeat(from.start, from.end);
    } else {
      out.nil();
    }
  }
  out.byte(')');
}

}  // namespace mailhaul::mime
