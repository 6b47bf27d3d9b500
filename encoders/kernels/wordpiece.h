// WordPiece over ASCII text, which is most of what BERT's tokenizers read.
//
// Y. Wu et al., "Google's neural machine translation system" (2016), as in BERT: control
// characters are dropped, text is split at white space and around punctuation, and each word is
// cut into the longest pieces there are from the left; a word that cannot be is unknown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lsr::encoding {

struct Piece {
  std::string characters;
  bool inside;  // of a word, not at its beginning
  uint32_t id;
};

class WordPiece {
 public:
  // `whole`: tokens that are looked for in the text itself; a text with one is refused.
  WordPiece(const std::vector<Piece>& pieces, std::vector<std::string> whole, uint32_t unknown,
            size_t longest_word, bool lower_case);

  // Appends the first ids of a text, at most `most`; false, with `ids` as they were, when it is
  // refused: when what is read of it has a character beyond ASCII or one of the whole tokens.
  bool encode(const char* text, size_t size, size_t most, std::vector<uint32_t>& ids) const;

 private:
  struct Entry {
    uint64_t hash;
    uint32_t id, start, size;  // in characters_; size 0 marks a free entry
  };

  // Where the entry of a piece is, or the free one where it would be.
  size_t place(const char* characters, size_t size, uint64_t hash) const;
  void split(const std::string& word, std::vector<uint32_t>& ids) const;

  std::vector<Entry> entries_;  // a power of two of them, half of them free
  std::string characters_;
  std::vector<std::string> whole_;
  uint32_t unknown_;
  size_t longest_word_, longest_piece_ = 0, longest_whole_ = 0;
  bool lower_case_;
};

}  // namespace lsr::encoding
