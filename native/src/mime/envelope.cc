#include "envelope.h"

namespace mailhaul::mime {
namespace {

/// Writes the list of all fields of this kind and returns true, or writes nothing when none of them holds an address.
bool writeList(Bytes data, std::span<const HeaderField> fields, Field kind, Writer& out, AddressScratch& scratch) {
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
  if (out.plain(data, field->value)) return;
  if (findByte(data, start, end, '\n') == end) {
    out.string(data, field->value);
    return;
  }
  scratch.clear();
  scratch.unfolded(data, start, end);
  out.string(scratch);
}

void writeEnvelope(Bytes data, const MessageTree& tree, const Part& part, Writer& out, AddressScratch& scratch) {
  const std::span<const HeaderField> fields = fieldsOf(tree, part);
  const auto text = [&](Field kind) { writeText(data, rulingField(tree, part, kind), out, scratch.name); };
  // The From list within `out`; empty when there is none.
  Span from;
  out.byte('(');
  text(Field::date);
  out.byte(' ');
  text(Field::subject);
  out.byte(' ');
  for (auto kind = Field::from; kind <= Field::bcc; kind = static_cast<Field>(static_cast<int>(kind) + 1)) {
    const std::size_t start = out.size();
    if (rulingField(tree, part, kind) != nullptr && writeList(data, fields, kind, out, scratch)) {
      if (kind == Field::from) from = {start, out.size()};
    } else if ((kind == Field::sender || kind == Field::replyTo) && from.end > 0) {
      out.repeat(from.start, from.end);
    } else {
      out.nil();
    }
    out.byte(' ');
  }
  text(Field::inReplyTo);
  out.byte(' ');
  text(Field::messageId);
  out.byte(')');
}

}  // namespace mailhaul::mime
