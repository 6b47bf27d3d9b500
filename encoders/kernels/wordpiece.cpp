#include "wordpiece.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

namespace lsr::encoders {
namespace {

// The code point that begins at text[at] of valid UTF-8; moves `at` to its last byte.
uint32_t code_point(const char* text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  const uint32_t first = byte(at);
  if (first < 0x80) return first;
  const size_t more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
  uint32_t point = first & (0x3fu >> more);
  for (size_t i = 0; i < more; ++i) point = point << 6 | (byte(++at) & 0x3f);
  return point;
}

size_t count_characters(const std::string& word) {
  return static_cast<size_t>(
      std::count_if(word.begin(), word.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// FNV-1a, so that the hash of a piece goes on to that of a longer one.
constexpr uint64_t kStart = 14695981039346656037u, kInside = 0x9e3779b97f4a7c15u;
uint64_t hashed(uint64_t hash, char c) { return (hash ^ static_cast<uint8_t>(c)) * 1099511628211u; }

}  // namespace

WordPiece::WordPiece(const std::vector<Piece>& pieces, std::vector<Character> characters,
                     std::vector<std::string> whole, uint32_t unknown, size_t longest_word)
    : characters_(std::move(characters)),
      whole_(std::move(whole)),
      unknown_(unknown),
      longest_word_(longest_word) {
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
      found = {hash, piece.id, static_cast<uint32_t>(spelled_.size()), static_cast<uint32_t>(size)};
      spelled_ += piece.characters;
    }
    longest_piece_ = std::max(longest_piece_, size);
  }
  for (const std::string& token : whole_) longest_whole_ = std::max(longest_whole_, token.size());
}

bool WordPiece::encode(const char* text, size_t size, size_t most,
                       std::vector<uint32_t>& ids) const {
  const size_t before = ids.size();
  size_t at = 0;
  thread_local std::string word;
  word.clear();
  const auto full = [&] { return ids.size() - before >= most; };
  for (; at < size && !full(); ++at) {
    const uint32_t point = code_point(text, at);
    if (point >= characters_.size() || characters_[point].kind == Kind::kRefused) {
      ids.resize(before);
      return false;
    }
    const Character& character = characters_[point];
    if (character.kind == Kind::kLetter) {
      word += character.written;
    } else if (character.kind != Kind::kDropped) {
      split(word, ids);
      word.clear();
      if (character.kind == Kind::kPunctuation) split(character.written, ids);
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
  const bool fits = count_characters(word) <= longest_word_;
  while (fits && start < word.size()) {
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
        std::memcmp(spelled_.data() + found.start, characters, size) == 0)
      return at;
  }
}

}  // namespace lsr::encoders
