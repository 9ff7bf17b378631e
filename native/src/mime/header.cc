#include "header.h"

namespace mailhaul::mime {

const HeaderField* lastField(std::span<const HeaderField> fields, Field kind) noexcept {
  for (std::size_t i = fields.size(); i-- > 0;) {
    if (fields[i].kind == kind) return &fields[i];
  }
  return nullptr;
}

Field fieldKind(Bytes data, std::size_t start, std::size_t end) noexcept {
  const auto is = [&](std::string_view name) { return equalsLower(data, start, end, name); };
  switch (end - start) {
    case 2:
      if (is("to")) return Field::to;
      if (is("cc")) return Field::cc;
      break;
    case 3:
      if (is("bcc")) return Field::bcc;
      break;
    case 4:
      if (is("date")) return Field::date;
      if (is("from")) return Field::from;
      break;
    case 6:
      if (is("sender")) return Field::sender;
      break;
    case 7:
      if (is("subject")) return Field::subject;
      break;
    case 8:
      if (is("reply-to")) return Field::replyTo;
      break;
    case 10:
      if (is("message-id")) return Field::messageId;
      if (is("content-id")) return Field::contentId;
      break;
    case 11:
      if (is("in-reply-to")) return Field::inReplyTo;
      if (is("content-md5")) return Field::contentMd5;
      break;
    case 12:
      if (is("content-type")) return Field::contentType;
      if (is("mime-version")) return Field::mimeVersion;
      break;
    case 16:
      if (is("content-language")) return Field::contentLanguage;
      if (is("content-location")) return Field::contentLocation;
      break;
    case 19:
      if (is("content-description")) return Field::contentDescription;
      if (is("content-disposition")) return Field::contentDisposition;
      break;
    case 25:
      if (is("content-transfer-encoding")) return Field::contentTransferEncoding;
      break;
    default:
      break;
  }
  return Field::other;
}

bool isCachedField(Bytes data, std::size_t start, std::size_t end) noexcept {
  const auto is = [&](std::string_view name) { return equalsLower(data, start, end, name); };
  const std::size_t length = end - start;
  if (length > 5 && equalsLower(data, start, start + 5, "list-")) return true;
  switch (length) {
    case 8:
      return is("priority") || is("x-mailer");
    case 9:
      return is("errors-to");
    case 10:
      return is("references") || is("x-priority") || is("importance") || is("precedence") || is("newsgroups") ||
             is("user-agent");
    case 11:
      return is("in-reply-to") || is("followup-to") || is("x-spam-flag");
    case 13:
      return is("x-spam-status");
    case 14:
      return is("auto-submitted");
    case 16:
      return is("mail-followup-to");
    case 27:
      return is("disposition-notification-to");
    default:
      return false;
  }
}

std::size_t nameEnd(Bytes data, std::size_t start, std::size_t colon) noexcept {
  std::size_t end = colon;
  while (end > start && isBlank(data[end - 1])) end--;
  return end;
}

Span valueSpan(Bytes data, std::size_t colon, std::size_t fieldEnd) noexcept {
  std::size_t end = fieldEnd;
  if (end > colon + 1 && data[end - 1] == '\n') {
    end--;
    if (end > colon + 1 && data[end - 1] == '\r') end--;
  }
  std::size_t start = colon + 1;
  while (start < end && isBlank(data[start])) start++;
  return {start, end};
}

}  // namespace mailhaul::mime
