#include "bodystructure.h"

#include <algorithm>

#include "envelope.h"
#include "names.h"

namespace mailhaul::mime {
namespace {

constexpr std::string_view defaultCharset = "\"charset\" \"us-ascii\"";
/// A multipart must have a part: one without any shows an empty text, as both servers have it.
constexpr std::string_view emptyPart =
    "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)";

class StructureWriter {
 public:
  StructureWriter(Bytes data, MessageTree& tree, Writer& out, AddressScratch& scratch) noexcept
      : data_(data), tree_(tree), out_(out), scratch_(scratch) {}

  void part(std::uint32_t index) {
    const Part& part = tree_.parts[index];
    out_.byte('(');
    if (part.kind == Kind::multipart) {
      multipart(part, index);
    } else {
      single(part, index);
    }
    out_.byte(' ');
    disposition(part);
    out_.byte(' ');
    languages(part);
    out_.byte(' ');
    text(part, Field::contentLocation);
    out_.byte(')');
  }

 private:
  void multipart(const Part& part, std::uint32_t index) {
    if (part.children == 0) {
      out_.ascii(emptyPart);
    } else {
      for (std::uint32_t child = index + 1; child != noPart; child = tree_.parts[child].nextSibling) this->part(child);
    }
    out_.byte(' ');
    string(part.type->subtype);
    out_.byte(' ');
    typeParameters(part, false);
  }

  void single(const Part& part, std::uint32_t index) {
    bool isText = false;
    if (part.overflow) {
      out_.ascii("\"application\" \"octet-stream\"");
    } else if (part.type) {
      isText = is<"text">(data_, part.type->type);
      string(part.type->type);
      out_.byte(' ');
      string(part.type->subtype);
    } else if (part.isMessage) {
      out_.ascii("\"message\" \"rfc822\"");
    } else {
      isText = true;
      out_.ascii("\"text\" \"plain\"");
    }
    out_.byte(' ');
    typeParameters(part, isText);
    out_.byte(' ');
    text(part, Field::contentId);
    out_.byte(' ');
    text(part, Field::contentDescription);
    out_.byte(' ');
    encoding(part);
    out_.byte(' ');
    out_.decimal(part.bodyEnd - part.bodyStart);
    if (part.kind == Kind::message) {
      out_.byte(' ');
      writeEnvelope(data_, tree_, tree_.parts[index + 1], out_, scratch_);
      out_.byte(' ');
      this->part(index + 1);
    }
    if (isText || part.kind == Kind::message) {
      out_.byte(' ');
      out_.decimal(part.lines);
    }
    out_.byte(' ');
    text(part, Field::contentMd5);
  }

  void string(Span span) { out_.string(data_, span); }

  [[nodiscard]] const HeaderField* field(const Part& part, Field kind) const noexcept {
    return rulingField(tree_, part, kind);
  }

  void text(const Part& part, Field kind) { writeText(data_, field(part, kind), out_, scratch_.name); }

  void encoding(const Part& part) {
    const HeaderField* found = field(part, Field::contentTransferEncoding);
    const std::optional<Span> token = found == nullptr ? std::nullopt : parseEncoding(data_, found->value);
    if (token) {
      string(*token);
    } else {
      out_.ascii("\"7bit\"");
    }
  }

  void disposition(const Part& part) {
    const HeaderField* found = field(part, Field::contentDisposition);
    const std::optional<Disposition> read = found == nullptr ? std::nullopt : parseDisposition(data_, found->value);
    if (!read) {
      out_.nil();
      return;
    }
    out_.byte('(');
    string(read->token);
    out_.byte(' ');
    parseParameters(data_, read->rest, tree_.parameters);
    parameters(false);
    out_.byte(')');
  }

  void languages(const Part& part) {
    const HeaderField* found = field(part, Field::contentLanguage);
    std::size_t at = found == nullptr ? 0 : found->value.start;
    std::optional<Span> tag = found == nullptr ? std::nullopt : nextLanguage(data_, at, found->value.end);
    if (!tag) {
      out_.nil();
      return;
    }
    out_.byte('(');
    string(*tag);
    while ((tag = nextLanguage(data_, at, found->value.end))) {
      out_.byte(' ');
      string(*tag);
    }
    out_.byte(')');
  }

  void typeParameters(const Part& part, bool isText) {
    tree_.parameters.clear();
    if (part.type) parseParameters(data_, part.type->rest, tree_.parameters);
    parameters(isText);
  }

  /// Writes `tree_.parameters`; a text without a charset has us-ascii (RFC 2046 4.1.2).
  void parameters(bool isText) {
    const Parameters& list = tree_.parameters;
    const bool addCharset = isText && std::none_of(list.begin(), list.end(), [&](const Parameter& parameter) {
                              return !parameter.consumed && !parameter.star && is<"charset">(data_, parameter.name);
                            });
    if (list.empty() && !addCharset) {
      out_.nil();
      return;
    }
    out_.byte('(');
    bool separate = false;
    for (std::size_t i = 0; i < list.size(); i++) {
      if (list[i].consumed) continue;
      if (separate) out_.byte(' ');
      separate = true;
      name(list[i]);
      out_.byte(' ');
      value(list, i);
    }
    if (addCharset) {
      if (separate) out_.byte(' ');
      out_.ascii(defaultCharset);
    }
    out_.byte(')');
  }

  void value(const Parameters& list, std::size_t index) {
    const Parameter& parameter = list[index];
    const bool asItIs = !parameter.star && parameter.next == noSection;
    if (asItIs && out_.plain(data_, parameter.value)) return;
    scratch_.name.clear();
    appendValue(data_, list, index, scratch_.name);
    out_.string(scratch_.name);
  }

  /// A name is a token, so it never needs a literal or a backslash.
  void name(const Parameter& parameter) {
    out_.byte('"');
    out_.bytes(data_.subspan(parameter.name.start, parameter.name.end - parameter.name.start));
    if (parameter.star) out_.byte('*');
    out_.byte('"');
  }

  Bytes data_;
  MessageTree& tree_;
  Writer& out_;
  AddressScratch& scratch_;
};

}  // namespace

void writeBodyStructure(Bytes data, MessageTree& tree, Writer& out, AddressScratch& scratch) {
  StructureWriter(data, tree, out, scratch).part(0);
}

}  // namespace mailhaul::mime
