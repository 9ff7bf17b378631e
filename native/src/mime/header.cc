#include "header.h"

#include "names.h"

namespace mailhaul::mime {

FieldName fieldName(Bytes data, Span name) noexcept {
  const std::uint8_t* const at = data.data() + name.start;
  const std::size_t length = name.end - name.start;
  constexpr FieldName cachedOnly{Field::other, true};
  if (length > 5 && is<"list-">(at)) return cachedOnly;
  switch (length) {
    case 2:
      if (is<"to">(at)) return {Field::to};
      if (is<"cc">(at)) return {Field::cc};
      break;
    case 3:
      if (is<"bcc">(at)) return {Field::bcc};
      break;
    case 4:
      if (is<"date">(at)) return {Field::date};
      if (is<"from">(at)) return {Field::from};
      break;
    case 6:
      if (is<"sender">(at)) return {Field::sender};
      break;
    case 7:
      if (is<"subject">(at)) return {Field::subject};
      break;
    case 8:
      if (is<"reply-to">(at)) return {Field::replyTo};
      if (is<"x-mailer">(at) || is<"priority">(at)) return cachedOnly;
      break;
    case 9:
      if (is<"errors-to">(at)) return cachedOnly;
      break;
    case 10:
      if (is<"message-id">(at)) return {Field::messageId};
      if (is<"content-id">(at)) return {Field::contentId};
      if (is<"references">(at) || is<"x-priority">(at) || is<"importance">(at) || is<"precedence">(at) ||
          is<"newsgroups">(at) || is<"user-agent">(at)) {
        return cachedOnly;
      }
      break;
    case 11:
      if (is<"in-reply-to">(at)) return {Field::inReplyTo, true};
      if (is<"content-md5">(at)) return {Field::contentMd5};
      if (is<"followup-to">(at) || is<"x-spam-flag">(at)) return cachedOnly;
      break;
    case 12:
      if (is<"content-type">(at)) return {Field::contentType};
      if (is<"mime-version">(at)) return {Field::mimeVersion};
      break;
    case 13:
      if (is<"x-spam-status">(at)) return cachedOnly;
      break;
    case 14:
      if (is<"auto-submitted">(at)) return cachedOnly;
      break;
    case 16:
      if (is<"content-language">(at)) return {Field::contentLanguage};
      if (is<"content-location">(at)) return {Field::contentLocation};
      if (is<"mail-followup-to">(at)) return cachedOnly;
      break;
    case 19:
      if (is<"content-description">(at)) return {Field::contentDescription};
      if (is<"content-disposition">(at)) return {Field::contentDisposition};
      break;
    case 25:
      if (is<"content-transfer-encoding">(at)) return {Field::contentTransferEncoding};
      break;
    case 27:
      if (is<"disposition-notification-to">(at)) return cachedOnly;
      break;
    default:
      break;
  }
  return {};
}

}  // namespace mailhaul::mime
