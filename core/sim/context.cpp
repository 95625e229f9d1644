#include "context.hpp"

#include <dlfcn.h>
#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

// weir_sim_switch(from, to, thread pointer, how): saves the registers that a call preserves and the stack pointer in *from,
// goes on where `to` was saved. `how` (x86-64): 1 when programs may write fs themselves.
extern "C" void weir_sim_switch(void** from, void* to, std::uintptr_t tls, long how) noexcept;
extern "C" void weir_sim_start() noexcept;

#if defined(__x86_64__)
asm(R"(
  .text
  .globl weir_sim_switch
  .hidden weir_sim_switch
  .type weir_sim_switch, @function
weir_sim_switch:
  .cfi_startproc
  endbr64
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  testl %ecx, %ecx
  jz 1f
  wrfsbase %rdx
  jmp 2f
1:
  movl $158, %eax   # arch_prctl(ARCH_SET_FS)
  movl $0x1002, %edi
  movq %rdx, %rsi
  syscall
2:
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .cfi_endproc
  .size weir_sim_switch, .-weir_sim_switch

  .globl weir_sim_start
  .hidden weir_sim_start
  .type weir_sim_start, @function
weir_sim_start:     # the first ret of a new context comes here; r12: what to call, r13: with what
  .cfi_startproc
  .cfi_undefined rip
  movq %r13, %rdi
  callq *%r12
  ud2
  .cfi_endproc
  .size weir_sim_start, .-weir_sim_start
)");
#elif defined(__aarch64__)
asm(R"(
  .text
  .globl weir_sim_switch
  .hidden weir_sim_switch
  .type weir_sim_switch, %function
weir_sim_switch:
  .cfi_startproc
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  msr tpidr_el0, x2
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .cfi_endproc
  .size weir_sim_switch, .-weir_sim_switch

  .globl weir_sim_start
  .hidden weir_sim_start
  .type weir_sim_start, %function
weir_sim_start:
  .cfi_startproc
  .cfi_undefined x30
  mov x0, x20
  blr x19
  brk #1
  .cfi_endproc
  .size weir_sim_start, .-weir_sim_start
)");
#else
#error "weir::sim knows x86-64 and aarch64"
#endif

namespace weir {
inline namespace v0 {
namespace sim {

long raw_syscall(long number, long a, long b, long c, long d, long e, long f) noexcept {
#if defined(__x86_64__)
  long out;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall" : "=a"(out) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return out;
#else
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#endif
}

namespace {

void wait_for(std::atomic<std::uint32_t>& door) noexcept {
  while (door.load(std::memory_order_acquire) == 0)
    raw_syscall(SYS_futex, reinterpret_cast<long>(&door), FUTEX_WAIT_PRIVATE, 0, 0);
  door.store(0, std::memory_order_relaxed);
}
void open(std::atomic<std::uint32_t>& door) noexcept {
  door.store(1, std::memory_order_release);
  raw_syscall(SYS_futex, reinterpret_cast<long>(&door), FUTEX_WAKE_PRIVATE, 1);
}

std::uintptr_t own_tls() noexcept { return reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer()); }

// Who called enter() last, so that leave() finds the way back. One run at a time.
void* home_stack = nullptr;
std::uintptr_t home_tls = 0;

#if defined(__x86_64__)
const long how = (getauxval(AT_HWCAP2) & 2) != 0;  // FSGSBASE
#else
constexpr long how = 0;
#endif

// Of glibc, and private to it; null where there is none.
void (*const run_thread_local_destructors)() = reinterpret_cast<void (*)()>(dlsym(RTLD_DEFAULT, "__call_tls_dtors"));

constexpr std::size_t stack_size = 2 << 20;  // of pages that are not there until they are used

}  // namespace

pthread_key_t context::exit_key() noexcept {
  static const pthread_key_t key = [] {
    pthread_key_t k{};
    pthread_key_create(&k, &context::at_exit);
    return k;
  }();
  return key;
}

int context::create(void (*body)(void*), void (*last)(void*), void* argument) noexcept {
  body_ = body;
  last_ = last;
  argument_ = argument;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, stack_size);
  exit_key();
  const int e = pthread_create(&real_, &attr, &context::real_main, this);
  pthread_attr_destroy(&attr);
  return e;
}

// On the real thread. The context begins well below these frames, which stay as they are until its end.
void* context::real_main(void* p) noexcept {
  auto& self = *static_cast<context*>(p);
  if (run_thread_local_destructors == nullptr) pthread_setspecific(exit_key(), p);
  self.tls_ = own_tls();
  auto sp = (reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - 16384) & ~std::uintptr_t{15};
#if defined(__x86_64__)
  auto* frame = reinterpret_cast<std::uintptr_t*>(sp) - 10;
  for (int i = 0; i < 10; ++i) frame[i] = 0;
  frame[0] = 0x037f'0000'1f80ull;                               // control words: x87 above, mxcsr below
  frame[3] = reinterpret_cast<std::uintptr_t>(&self);            // r13
  frame[4] = reinterpret_cast<std::uintptr_t>(&context::begin);  // r12
  frame[7] = reinterpret_cast<std::uintptr_t>(&weir_sim_start);  // ret; then the stack is aligned as a call wants it
#else
  auto* frame = reinterpret_cast<std::uintptr_t*>(sp) - 20;
  for (int i = 0; i < 20; ++i) frame[i] = 0;
  frame[0] = reinterpret_cast<std::uintptr_t>(&context::begin);   // x19
  frame[1] = reinterpret_cast<std::uintptr_t>(&self);             // x20
  frame[11] = reinterpret_cast<std::uintptr_t>(&weir_sim_start);  // x30
#endif
  self.stack_ = frame;
  open(self.home_);
  wait_for(self.door_);
  return nullptr;  // the destructors of thread_local variables come next, then at_exit
}

void context::begin(context* self) noexcept {
  self->body_(self->argument_);
  if (run_thread_local_destructors != nullptr) {
    run_thread_local_destructors();
    self->last_(self->argument_);
    self->ended_ = true;
  }
  self->native_ = true;
  weir_sim_switch(&self->stack_, home_stack, home_tls, how);
}

void context::at_exit(void* p) noexcept {
  auto& self = *static_cast<context*>(p);
  self.last_(self.argument_);
  self.ended_ = true;
  open(self.home_);
}

void context::enter() noexcept {
  if (native_) {
    open(door_);
    wait_for(home_);
    return;
  }
  if (!begun_) wait_for(home_);  // it has got as far as to sleep
  begun_ = true;
  home_tls = own_tls();
  weir_sim_switch(&home_stack, stack_, tls_, how);
}

bool context::goes_on() noexcept {
  if (native_ && !on_own_) {  // it has just come to the end of its body
    on_own_ = true;
    open(door_);
    if (!ended_) wait_for(home_);
  }
  return !ended_;
}

void context::pass(context& to) noexcept { weir_sim_switch(&stack_, to.stack_, to.tls_, how); }

void context::leave() noexcept {
  if (!native_) {
    weir_sim_switch(&stack_, home_stack, home_tls, how);
    return;
  }
  open(home_);
  wait_for(door_);
}

}  // namespace sim
}  // namespace v0
}  // namespace weir
