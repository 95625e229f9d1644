// Irregular and bound by compute: a fork for each row on which the next queen may stand. After the public
// runtime-benchmarks suite, which has it from libfork: the board is copied at each fork.
#pragma once

#include "common.hpp"

#include <array>
#include <cstddef>

namespace bench {

// The rows on which a queen of column x_max may stand. A function of its own, so that it is one and the same code for all
// peers: where the linker puts its innermost loop is worth up to 7 %, more than what is compared.
template <std::size_t N>
BENCH_NOINLINE std::size_t nqueens_legal(std::size_t x_max, const std::array<signed char, N>& board,
                                         std::array<signed char, N>& rows) {
  std::size_t legal = 0;
  for (int y = 0; y < static_cast<int>(N); ++y) {
    bool free = true;
    for (std::size_t x = 0; x < x_max && free; ++x) {
      const int p = board[x], away = static_cast<int>(x_max - x);
      free = y != p && y != p - away && y != p + away;
    }
    if (free) rows[legal++] = static_cast<signed char>(y);
  }
  return legal;
}

template <class Peer, std::size_t N>
BENCH_NOINLINE std::uint64_t nqueens_of(std::size_t x_max, std::array<signed char, N> board) {
  if (x_max == N) return 1;
  std::array<signed char, N> rows;
  const std::size_t legal = nqueens_legal<N>(x_max, board, rows);
  if (legal == 0) return 0;
  std::array<std::uint64_t, N> found;
  Peer::fork_each(legal, [&](std::size_t i) {
    std::array<signed char, N> next = board;
    next[x_max] = rows[i];
    found[i] = nqueens_of<Peer, N>(x_max + 1, next);
  });
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < legal; ++i) sum += found[i];
  return sum;
}

struct nqueens {
  static constexpr const char* name = "nqueens";
  unsigned n;

  explicit nqueens(unsigned size) : n(size) {}
  template <class Peer>
  std::uint64_t run() const {
    return run_of<Peer>(n);
  }
  template <class Peer>
  void warm() const {
    static_cast<void>(run_of<Peer>(n >= 12 ? n - 2 : n));
  }
  bool check(std::uint64_t answer) const {
    constexpr std::array<std::uint64_t, 7> answers = {92, 352, 724, 2'680, 14'200, 73'712, 365'596};
    return n >= 8 && n <= 14 && answer == answers[n - 8];
  }

 private:
  template <class Peer>
  static std::uint64_t run_of(unsigned size) {
    switch (size) {
      case 8: return nqueens_of<Peer, 8>(0, {});
      case 9: return nqueens_of<Peer, 9>(0, {});
      case 10: return nqueens_of<Peer, 10>(0, {});
      case 11: return nqueens_of<Peer, 11>(0, {});
      case 12: return nqueens_of<Peer, 12>(0, {});
      case 13: return nqueens_of<Peer, 13>(0, {});
      case 14: return nqueens_of<Peer, 14>(0, {});
      default: return 0;
    }
  }
};

}  // namespace bench
