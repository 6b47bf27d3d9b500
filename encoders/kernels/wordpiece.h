// WordPiece over the characters that most text is made of.
//
// Y. Wu et al., "Google's neural machine translation system" (2016), as in BERT: control
// characters are dropped, text is split at white space and around punctuation, and each word is
// cut into the longest pieces there are from the left; a word that cannot be is unknown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lsr::encoders {

// What becomes of a character.
enum class Kind : uint8_t { kRefused, kLetter, kSpace, kPunctuation, kDropped };

struct Character {
  Kind kind = Kind::kRefused;
  std::string written;  // of letters and punctuation: UTF-8, without accents or capitals
};

struct Piece {
  std::string characters;
  bool inside;  // of a word, not at its beginning
  uint32_t id;
};

class WordPiece {
 public:
  // characters: by code point, the first 128 and as many more as are known.
  // whole: tokens that are looked for in the text itself; a text with one is refused.
  // longest_word: in characters; longer ones are unknown.
  WordPiece(const std::vector<Piece>& pieces, std::vector<Character> characters,
            std::vector<std::string> whole, uint32_t unknown, size_t longest_word);

  // Appends the first ids of a text (valid UTF-8), at most `most`; false, with `ids` as they were,
  // when what is read of it has a character that is not known or one of the whole tokens.
  bool encode(const char* text, size_t size, size_t most, std::vector<uint32_t>& ids) const;

 private:
  struct Entry {
    uint64_t hash;
    uint32_t id, start, size;  // in spelled_; size 0 marks a free entry
  };

  // Where the entry of a piece is, or the free one where it would be.
  size_t place(const char* characters, size_t size, uint64_t hash) const;
  void split(const std::string& word, std::vector<uint32_t>& ids) const;

  std::vector<Entry> entries_;  // a power of two of them, half of them free
  std::string spelled_;         // the pieces' characters
  std::vector<Character> characters_;
  std::vector<std::string> whole_;
  uint32_t unknown_;
  size_t longest_word_, longest_piece_ = 0, longest_whole_ = 0;
};

}  // namespace lsr::encoders
