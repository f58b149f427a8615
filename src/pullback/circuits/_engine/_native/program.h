// A segment: its operations, done one after the other on a machine, as often as it repeats.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <utility>
#include <vector>

#include "machine.h"
#include "operations.h"

namespace {

// Data of one key: (count, members, 2, d, d), its tangent and where its cotangent goes.
template <class T>
struct Data {
  const T *u, *du;
  Cotangent<T> to;
  int64_t row;  // numbers of one repetition
  int d;
};

static_assert(gates::kKey == pair::kKey && gates::kKey == diagonal::kKey && gates::kKey == dense::kKey);
static_assert(gates::kMember == pair::kMember && gates::kMember == diagonal::kMember &&
              gates::kMember == dense::kMember);

template <class T, bool D>
class Program {
 public:
  Program(Machine<T, D>& machine, bool back, const int64_t* ops, const int32_t* tables, std::vector<Data<T>> data)
      : machine_(machine), back_(back), tables_(tables), data_(std::move(data)) {
    count_ = ops[0], n_ = ops[1];
    const int64_t* op = ops + 3;
    for (int64_t k = 0; k < ops[2]; k++, op += op[0]) {
      ops_.push_back(op);
      if (op[1] == permutation::kCode) orders_[op] = order(op);
      if (op[1] != diagonal::kCode) continue;
      auto& codes = codes_[op];
      for (int64_t i = 0; i < int64_t{1} << n_; i++) {
        int64_t amplitude = tables_[op[diagonal::kLayout] + i];
        bool active = (amplitude & op[diagonal::kControls]) == op[diagonal::kValues];
        codes.push_back(active ? 1 + __builtin_parityll(amplitude & op[diagonal::kM]) : 0);
      }
    }
  }

  const int32_t *masks = nullptr, *which = nullptr, *qubits = nullptr;  // of a dynamic segment
  int64_t widest = 0;

  void run() {
    const Order* waiting = nullptr;  // a permutation that the next gates do, if they follow it
    for (int64_t s = 0; s < count_; s++)
      for (size_t k = 0; k < ops_.size(); k++) {
        const int64_t* op = ops_[back_ ? ops_.size() - 1 - k : k];
        if (waiting && op[1] != gates::kCode) machine_.permute(*std::exchange(waiting, nullptr));
        if (op[1] == permutation::kCode)
          waiting = &orders_.at(op);
        else
          step(op, back_ ? count_ - 1 - s : s, std::exchange(waiting, nullptr));
      }
    if (waiting) machine_.permute(*waiting);
  }

 private:
  const T* u(int64_t key, int64_t l, int64_t member) const { return data_[key].u + place(key, l, member); }
  const T* du(int64_t key, int64_t l, int64_t member) const {
    return D ? data_[key].du + place(key, l, member) : nullptr;
  }
  Cotangent<T> to(int64_t key, int64_t l, int64_t member) const {
    return data_[key].to.out ? data_[key].to + place(key, l, member) : data_[key].to;
  }
  int64_t place(int64_t key, int64_t l, int64_t member) const {
    return l * data_[key].row + member * 2 * data_[key].d * data_[key].d;
  }

  // op: length, code, fields (operations.h); all but permutations and dynamic steps begin with key and member.
  void step(const int64_t* op, int64_t l, const Order* before) {
    if (op[1] == dynamic::kCode) return run_dynamic(op[dynamic::kMatrices], l);
    int64_t key = op[gates::kKey], member = op[gates::kMember];
    const T *u = this->u(key, l, member), *du = this->du(key, l, member);
    Cotangent<T> to = this->to(key, l, member);
    switch (op[1]) {
      case gates::kCode:
        return machine_.gates(before, op + gates::kGates, (op[0] - gates::kGates) / 2, u, du, to);
      case pair::kCode:
        return machine_.pair(tables_ + op[pair::kTable], op[pair::kPairs], u, du, to);
      case diagonal::kCode: {
        const uint8_t* codes = codes_.at(op).data();
        return machine_.diagonal([=](int64_t i) { return codes[i]; }, u, du, to);
      }
      case dense::kCode: {
        const int32_t* table = tables_ + op[dense::kTable];
        int64_t groups = op[dense::kGroups];
        return machine_.dense([=](int64_t k, int64_t g) -> int64_t { return table[k * groups + g]; }, groups,
                              data_[key].d, u, du, to);
      }
    }
  }

  Order order(const int64_t* op) {
    if (op[permutation::kRows]) {
      int rows = __builtin_ctzll(op[permutation::kRows]), columns = static_cast<int>(n_) - rows;
      return back_ ? Order{nullptr, columns, rows} : Order{nullptr, rows, columns};
    }
    const int32_t* table = tables_ + op[permutation::kTable];
    if (!back_) return {table, 0, static_cast<int>(n_)};
    auto& inverse = inverses_.emplace_back(int64_t{1} << n_);
    for (int64_t i = 0; i < int64_t{1} << n_; i++) inverse[table[i]] = i;
    return {inverse.data(), 0, static_cast<int>(n_)};
  }

  // A step of a dynamic segment; `dense_first` is the first key of matrices (that of pairs is before it, if any).
  void run_dynamic(int64_t dense_first, int64_t l) {
    int64_t key = which ? which[l] - 1 + dense_first : 0;
    const int32_t* mask = masks + 5 * l;
    if (key < dense_first) return machine_.masked(mask, u(0, l, 0), du(0, l, 0), to(0, l, 0));
    int d = data_[key].d;
    int64_t offsets[1 << kLargest] = {0}, all;
    for (int a = 0; a < d; a++)
      for (int j = 0; j < widest; j++)
        if (a >> j & 1) offsets[a] |= int64_t{1} << qubits[l * widest + j];
    all = offsets[d - 1];
    std::vector<int64_t> starts;
    for (int64_t i = 0; i < int64_t{1} << n_; i++)
      if (!(i & all) && (i & mask[3]) == mask[4]) starts.push_back(i);
    machine_.dense([&](int64_t k, int64_t g) { return starts[g] | offsets[k]; }, starts.size(), d, u(key, l, 0),
                   du(key, l, 0), to(key, l, 0));
  }

  Machine<T, D>& machine_;
  bool back_;
  const int32_t* tables_;
  std::vector<Data<T>> data_;
  std::vector<const int64_t*> ops_;
  std::map<const int64_t*, std::vector<uint8_t>> codes_;
  std::map<const int64_t*, Order> orders_;
  std::list<std::vector<int32_t>> inverses_;
  int64_t count_, n_;
};

}  // namespace
