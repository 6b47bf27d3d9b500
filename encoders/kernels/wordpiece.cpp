#include "wordpiece.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

namespace lsr::encoding {
namespace {

enum Kind : uint8_t { kLetter, kSpace, kPunctuation, kDropped };

struct Kinds {
  Kind of[128];
  Kinds() {
    for (int c = 0; c < 128; ++c) of[c] = c < 32 || c == 127 ? kDropped : kLetter;
    for (const char c : {' ', '\t', '\n', '\r'}) of[static_cast<int>(c)] = kSpace;
    for (const char c : std::string_view("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))
      of[static_cast<int>(c)] = kPunctuation;
  }
};

// FNV-1a, so that the hash of a piece goes on to that of a longer one.
constexpr uint64_t kStart = 14695981039346656037u, kInside = 0x9e3779b97f4a7c15u;
uint64_t hashed(uint64_t hash, char c) {
  return (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
}

}  // namespace

WordPiece::WordPiece(const std::vector<Piece>& pieces, std::vector<std::string> whole,
                     uint32_t unknown, size_t longest_word, bool lower_case)
    : whole_(std::move(whole)),
      unknown_(unknown),
      longest_word_(longest_word),
      lower_case_(lower_case) {
  size_t room = 16;
  while (room < 2 * pieces.size()) room *= 2;
  entries_.assign(room, Entry{});
  for (const Piece& piece : pieces) {
    const size_t size = piece.characters.size();
    if (size == 0) continue;
    uint64_t hash = piece.inside ? kInside : kStart;
    for (const char c : piece.characters) hash = hashed(hash, c);
    Entry& found = entries_[place(piece.characters.data(), size, hash)];
    if (found.size == 0) {
      found = {hash, piece.id, static_cast<uint32_t>(characters_.size()),
               static_cast<uint32_t>(size)};
      characters_ += piece.characters;
    }
    longest_piece_ = std::max(longest_piece_, size);
  }
  for (const std::string& token : whole_) longest_whole_ = std::max(longest_whole_, token.size());
}

bool WordPiece::encode(const char* text, size_t size, size_t most,
                       std::vector<uint32_t>& ids) const {
  static const Kinds kinds;
  const size_t before = ids.size();
  size_t at = 0;
  thread_local std::string word;
  word.clear();
  const auto full = [&] { return ids.size() - before >= most; };
  for (; at < size && !full(); ++at) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c >= 128) {
      ids.resize(before);
      return false;
    }
    const Kind kind = kinds.of[c];
    if (kind == kLetter) {
      word.push_back(static_cast<char>(lower_case_ && c >= 'A' && c <= 'Z' ? c + 32 : c));
    } else if (kind != kDropped) {
      split(word, ids);
      word.clear();
      if (kind == kPunctuation) split(std::string(1, static_cast<char>(c)), ids);
    }
  }
  if (!full()) split(word, ids);
  // A whole token that begins in what was read would have been taken for one.
  const std::string_view read(text, std::min(size, at + longest_whole_));
  for (const std::string& token : whole_)
    if (read.find(token) != std::string_view::npos) {
      ids.resize(before);
      return false;
    }
  ids.resize(std::min(ids.size(), before + most));
  return true;
}

void WordPiece::split(const std::string& word, std::vector<uint32_t>& ids) const {
  if (word.empty()) return;
  const size_t before = ids.size();
  thread_local std::vector<uint64_t> hashes;
  size_t start = 0;
  while (start < word.size() && word.size() <= longest_word_) {
    // The hash of each beginning of what is left, then the longest that is a piece.
    size_t length = std::min(word.size() - start, longest_piece_);
    hashes.resize(length);
    uint64_t hash = start == 0 ? kStart : kInside;
    for (size_t i = 0; i < length; ++i) hashes[i] = hash = hashed(hash, word[start + i]);
    for (; length > 0; --length) {
      const Entry& found = entries_[place(word.data() + start, length, hashes[length - 1])];
      if (found.size == 0) continue;
      ids.push_back(found.id);
      break;
    }
    if (length == 0) break;
    start += length;
  }
  if (start == word.size()) return;
  ids.resize(before);
  ids.push_back(unknown_);
}

size_t WordPiece::place(const char* characters, size_t size, uint64_t hash) const {
  const size_t mask = entries_.size() - 1;
  for (size_t at = (hash ^ hash >> 32) & mask;; at = (at + 1) & mask) {
    const Entry& found = entries_[at];
    if (found.size == 0) return at;
    if (found.hash == hash && found.size == size &&
        std::memcmp(characters_.data() + found.start, characters, size) == 0)
      return at;
  }
}

}  // namespace lsr::encoding
