// See dependant.hpp.
#include "dependant.hpp"
#include "core.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

void dependant::enlist() noexcept {
  if (core_ == nullptr) return;
  core_->acquire_ref();
  core_->add_dependant(*this);
}

void dependant::drop_ref() noexcept {
  if (!drop_references(refs_)) return;
  core* const c = core_;
  if (c != nullptr && c->dead()) return;  // a forked child: its locks may be held
  if (c != nullptr) c->remove_dependant(*this);
  delete this;
  if (c != nullptr) c->release_ref();
}

void core::add_dependant(dependant& d) noexcept {
  const std::lock_guard lock(dependants_mutex_);
  d.next_ = first_dependant_;
  if (first_dependant_ != nullptr) first_dependant_->previous_ = &d;
  first_dependant_ = &d;
}

void core::remove_dependant(dependant& d) noexcept {
  const std::lock_guard lock(dependants_mutex_);
  (d.previous_ != nullptr ? d.previous_->next_ : first_dependant_) = d.next_;
  if (d.next_ != nullptr) d.next_->previous_ = d.previous_;
}

// The first one behind `d` that is not about to go, held; `d` is let go. Null: from the beginning.
dependant* core::next_dependant(dependant* d) noexcept {
  dependant* next;
  {
    const std::lock_guard lock(dependants_mutex_);
    next = d != nullptr ? d->next_ : first_dependant_;
    while (next != nullptr && !try_add_reference(next->refs_)) next = next->next_;
  }
  if (d != nullptr) d->drop_ref();
  return next;
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
