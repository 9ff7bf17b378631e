#include "parse.h"

#include <memory>

#include "addresses.h"
#include "bodystructure.h"
#include "envelope.h"
#include "structure.h"
#include "writer.h"

namespace mailhaul::mime {
namespace {

/// Four lengths, u32 each.
constexpr std::size_t headBytes = 16;
/// Memory that a thread keeps from message to message, per buffer.
constexpr std::size_t keepBytes = std::size_t{1} << 20U;
constexpr std::size_t keepParts = 1000;

/// Memory of a thread, reused so that a common message allocates nothing.
struct Scratch {
  MessageTree tree;
  AddressScratch addresses;
  Writer out;

  /// Gives back what one uncommonly large message needed.
  void trim() {
    out.release(keepBytes);
    addresses.name.release(keepBytes);
    addresses.local.release(keepBytes);
    addresses.domain.release(keepBytes);
    tree.boundaryBytes.release(keepBytes);
    if (tree.parts.capacity() > keepParts) std::vector<Part>().swap(tree.parts);
    if (tree.fields.capacity() > keepParts) std::vector<HeaderField>().swap(tree.fields);
  }
};

void writeParts(const MessageTree& tree, Writer& out) {
  out.leb128(tree.parts.size());
  std::size_t before = 0;
  for (const Part& part : tree.parts) {
    out.leb128(static_cast<std::uint64_t>(part.kind));
    out.leb128(part.children);
    out.leb128(part.headerStart - before);
    before = part.headerStart;
    out.leb128(part.bodyStart - part.headerStart);
    out.leb128(part.bodyEnd - part.bodyStart);
    out.leb128(part.lines);
  }
}

void writeFields(Bytes data, const MessageTree& tree, Writer& out) {
  for (const Span field : tree.cached) out.bytes(data.subspan(field.start, field.end - field.start));
  if (tree.cachedCut) out.byte(0);
}

std::uint64_t parse(Bytes message, const KnownLines& known, std::vector<std::uint8_t>& cache, Scratch& scratch) {
  Writer& out = scratch.out;
  out.clear();
  parseTree(message, known, scratch.tree);
  const Part& root = scratch.tree.parts.front();
  const std::uint64_t headerBytes = root.bodyStart;

  constexpr std::string_view noLengths("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", headBytes);
  out.ascii(noLengths);
  std::size_t start = out.size();
  // maxValueBytes, maxParts and maxCachedBytes keep every section far below 4 GiB.
  const auto close = [&](std::size_t section) {
    out.u32At(section * 4, static_cast<std::uint32_t>(out.size() - start));
    start = out.size();
  };
  writeEnvelope(message, scratch.tree, root, out, scratch.addresses);
  close(0);
  writeBodyStructure(message, scratch.tree, out, scratch.addresses);
  close(1);
  writeParts(scratch.tree, out);
  close(2);
  writeFields(message, scratch.tree, out);
  close(3);

  const Bytes entry = out.view();
  cache.insert(cache.end(), entry.begin(), entry.end());
  scratch.trim();
  return headerBytes;
}

}  // namespace

std::uint64_t parseMessage(Bytes message, std::vector<std::uint8_t>& cache, const KnownLines& known) {
  // On the heap: in a shared library every use of a thread's own variable is a call, this is the only one.
  thread_local const std::unique_ptr<Scratch> scratch = std::make_unique<Scratch>();
  return parse(message, known, cache, *scratch);
}

}  // namespace mailhaul::mime
