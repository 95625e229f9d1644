// treesum DIR: the SHA-256 of every file below DIR, on all cores. Prints what
//     find DIR -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
// prints: the same lines in the same order, but while it works, and with memory that does not grow with the tree.
//
// How it uses weir. main() walks the tree in order and spawns a task for each batch of paths; a window bounds how many
// are under way. A task hashes its batch with parallel_for, so that idle workers share even the last one, and returns
// the finished text; main takes the results in the order of the batches. Ctrl-C becomes a stop request: what has not
// started never starts, what runs ends after at most one buffer, and all that was finished is printed.
#include <weir/weir.hpp>

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

constexpr std::size_t buffer_size = 256 << 10;  // bytes read at once, by each worker
constexpr std::size_t batch_size = 64;          // files a task
constexpr std::size_t window = 512;             // tasks under way: some megabytes of paths and results
constexpr auto tick = 100ms;                    // how often main looks at the signal and at the clock

std::atomic<int> caught{0};  // the signal that asked to stop
static_assert(std::atomic<int>::is_always_lock_free, "the handler may do nothing else");

struct progress_counters {
  std::atomic<std::uint64_t> files{0}, bytes{0};
};

// ---- text

// As sha256sum writes a name in a line: with \n, \r and \\ for the characters that would break the line.
bool append_escaped(std::string& out, std::string_view name) {
  bool any = false;
  for (const char c : name) {
    const char letter = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\\' ? '\\' : '\0';
    if (letter != '\0') out += '\\';
    out += letter != '\0' ? letter : c;
    any |= letter != '\0';
  }
  return any;
}

void append_message(std::string& out, std::string_view path, int error) {
  out += "treesum: ";
  append_escaped(out, path);
  out += ": ";
  out += std::system_category().message(error);
  out += '\n';
}

using digest = std::array<unsigned char, 32>;

void append_line(std::string& out, std::string_view path, const digest& sum) {
  static constexpr char hex[] = "0123456789abcdef";
  const std::size_t start = out.size();
  for (const unsigned char byte : sum) {
    out += hex[byte >> 4];
    out += hex[byte & 15];
  }
  out += "  ";
  if (append_escaped(out, path)) out.insert(start, 1, '\\');
}

// ---- one file

struct descriptor {
  explicit descriptor(int n) : fd(n) {}
  descriptor(const descriptor&) = delete;
  ~descriptor() {
    if (fd >= 0) ::close(fd);
  }
  int fd;
};

// What a thread needs to hash files, made once.
class hasher {
 public:
  static hasher& of_this_thread() {
    thread_local hasher h;
    return h;
  }
  void begin() { check(EVP_DigestInit_ex2(context_.get(), algorithm(), nullptr)); }
  void add(std::size_t n) { check(EVP_DigestUpdate(context_.get(), buffer_.get(), n)); }
  digest end() {
    digest d;
    check(EVP_DigestFinal_ex(context_.get(), d.data(), nullptr));
    return d;
  }
  unsigned char* buffer() { return buffer_.get(); }

 private:
  static const EVP_MD* algorithm() {
    static const std::unique_ptr<EVP_MD, void (*)(EVP_MD*)> md(EVP_MD_fetch(nullptr, "SHA256", nullptr), &EVP_MD_free);
    return md.get();
  }
  static void check(int ok) {
    if (ok != 1) throw std::runtime_error("libcrypto cannot compute SHA-256");
  }
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
  std::unique_ptr<unsigned char[]> buffer_{new unsigned char[buffer_size]};
};

struct outcome {
  enum : std::uint8_t { unfinished, hashed, failed } state = unfinished;
  int error = 0;
  digest sum{};
};

// go_on() is asked before each read.
template <class GoOn>
outcome hash_file(const std::string& path, progress_counters& done, GoOn go_on) {
  outcome out;
  const auto fail = [&](int error) {
    out.state = outcome::failed;
    out.error = error;
    return out;
  };
  // The file may have become something else since the walk: neither follow a link nor wait for a writer.
  const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK));
  if (file.fd < 0) return fail(errno);
  struct stat st;
  if (::fstat(file.fd, &st) != 0) return fail(errno);
  if (!S_ISREG(st.st_mode)) return fail(ESTALE);
  hasher& h = hasher::of_this_thread();
  h.begin();
  while (go_on()) {
    const ssize_t n = ::read(file.fd, h.buffer(), buffer_size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno);
    if (n == 0) {
      out.sum = h.end();
      out.state = outcome::hashed;
      done.files.fetch_add(1, std::memory_order_relaxed);
      return out;
    }
    h.add(static_cast<std::size_t>(n));
    done.bytes.fetch_add(static_cast<std::uint64_t>(n), std::memory_order_relaxed);
  }
  return out;
}

// ---- many files: what a task does

struct report {
  std::string lines, messages;
};

void append(report& r, const std::string& path, const outcome& o) {
  if (o.state == outcome::failed) append_message(r.messages, path, o.error);
  if (o.state != outcome::hashed) return;
  append_line(r.lines, path, o.sum);
  r.lines += '\n';
}

report hash_batch(const std::vector<std::string>& paths, progress_counters& done, const std::stop_token& stop) {
  std::vector<outcome> outcomes(paths.size());
  const weir::status s = weir::parallel_for(0, paths.size(), [&](std::size_t i) {
    outcomes[i] = hash_file(paths[i], done, [&] { return !stop.stop_requested(); });
  }, {.stop = stop});
  if (!s && s.error().code != weir::errc::cancelled) s.value();  // throws what the body threw: the task fails with it
  report r;
  for (std::size_t i = 0; i < paths.size(); ++i) append(r, paths[i], outcomes[i]);
  return r;
}

// ---- the tree

// Calls file(path) for each regular file below `directory`, in the byte order of whole paths, and error(path, errno)
// for what cannot be read; false as soon as file returns false. Holds the names of one directory a level.
template <class File, class Error>
bool walk(const std::string& directory, File&& file, Error&& error) {
  const std::string prefix = directory.ends_with('/') ? directory : directory + '/';
  std::vector<std::string> names;  // directories end in '/': that makes the order of names the order of whole paths
  {
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const std::unique_ptr<DIR, int (*)(DIR*)> open(fd < 0 ? nullptr : ::fdopendir(fd), &::closedir);
    if (!open) return error(directory, errno), true;
    while (true) {
      errno = 0;
      const dirent* const entry = ::readdir(open.get());
      if (entry == nullptr) break;
      std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      unsigned char type = entry->d_type;
      if (type == DT_UNKNOWN) {  // some file systems do not tell
        struct stat st;
        if (::lstat((prefix + name).c_str(), &st) != 0) {
          error(prefix + name, errno);
          continue;
        }
        type = S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_UNKNOWN;
      }
      if (type == DT_DIR) names.push_back(std::move(name) + '/');
      else if (type == DT_REG) names.push_back(std::move(name));
    }
    if (errno != 0) error(directory, errno);
  }
  std::sort(names.begin(), names.end());
  for (std::string& name : names) {
    if (name.back() != '/') {
      if (!file(prefix + name)) return false;
    } else {
      name.pop_back();
      if (!walk(prefix + name, file, error)) return false;
    }
  }
  return true;
}

struct totals {
  std::uint64_t files = 0, bytes = 0;
};

totals count(const std::string& root, const std::stop_token& stop) {
  totals t;
  const auto add = [&](const std::string& path) {
    struct stat st;
    if (::lstat(path.c_str(), &st) == 0) {
      ++t.files;
      t.bytes += static_cast<std::uint64_t>(st.st_size);
    }
    return !stop.stop_requested();
  };
  walk(root, add, [](const std::string&, int) {});
  return t;
}

// ---- what the user sees

class console {
 public:
  enum class show { automatic, always, never };
  console(show s, const progress_counters& done)
      : done_(done),
        terminal_(::isatty(STDERR_FILENO) == 1),
        shows_(s == show::automatic ? terminal_ : s == show::always) {}
  ~console() { clear(); }

  bool shows_progress() const { return shows_; }
  bool failed() const { return failed_; }   // anything was wrong
  bool closed() const { return closed_; }   // nothing can be printed any more

  void print(const report& r) {
    if (!r.lines.empty() && !closed_) {
      clear();
      if (const int error = write_all(STDOUT_FILENO, r.lines); error != 0) {
        closed_ = true;
        message(std::string("treesum: write error: ") + std::system_category().message(error) + '\n');
      }
    }
    if (!r.messages.empty()) message(r.messages);
  }
  void message(std::string_view text) {
    clear();
    failed_ = true;
    note(text);
  }
  void note(std::string_view text) { static_cast<void>(write_all(STDERR_FILENO, text)); }

  void summary() {
    clear();
    char text[160];
    const double s = seconds();
    std::snprintf(text, sizeof text, "treesum: %llu files, %.1f MiB in %.3f s, %.1f MiB/s\n", files(), mebibytes(), s,
                  mebibytes() / s);
    note(text);
  }

  // Draws the progress when it is time to.
  void progress(const std::optional<totals>& all) {
    if (!shows_ || clock::now() < next_) return;
    next_ = clock::now() + (terminal_ ? clock::duration(tick) : clock::duration(1s));
    const double rate = mebibytes() / seconds();
    char text[160];
    int n = std::snprintf(text, sizeof text, "%s%llu files, %.1f MiB, %.1f MiB/s", terminal_ ? "\r\033[K" : "treesum: ",
                          files(), mebibytes(), rate);
    if (all && rate > 0) {
      const double left = (static_cast<double>(all->bytes) / (1 << 20) - mebibytes()) / rate;
      n += std::snprintf(text + n, sizeof text - static_cast<std::size_t>(n), ", %.0f s left", std::max(left, 0.0));
    }
    note(std::string(text, static_cast<std::size_t>(n)) + (terminal_ ? "" : "\n"));
    drawn_ = terminal_;
  }

 private:
  using clock = std::chrono::steady_clock;

  void clear() {
    if (std::exchange(drawn_, false)) note("\r\033[K");
  }
  unsigned long long files() const { return done_.files.load(std::memory_order_relaxed); }
  double mebibytes() const { return static_cast<double>(done_.bytes.load(std::memory_order_relaxed)) / (1 << 20); }
  double seconds() const { return std::max(std::chrono::duration<double>(clock::now() - start_).count(), 1e-6); }

  static int write_all(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::write(fd, text.data(), text.size());
      if (n < 0 && errno != EINTR) return errno;
      if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
    }
    return 0;
  }

  const progress_counters& done_;
  clock::time_point start_ = clock::now(), next_ = start_ + tick;
  bool terminal_, shows_, drawn_ = false, failed_ = false, closed_ = false;
};

// ---- the two ways to do it

void run_serially(const std::string& root, progress_counters& done, console& out) {
  const auto go_on = [&] {
    out.progress({});
    return caught == 0;
  };
  report r;
  const auto flush = [&] { out.print(std::exchange(r, {})); };
  const auto file = [&](const std::string& path) {
    append(r, path, hash_file(path, done, go_on));
    if (r.lines.size() + r.messages.size() > 8192) flush();
    return caught == 0 && !out.closed();
  };
  walk(root, file, [&](const std::string& path, int error) { append_message(r.messages, path, error); });
  flush();
}

template <class F>
struct on_exit {
  F f;
  ~on_exit() { f(); }
};
template <class F>
on_exit(F) -> on_exit<F>;

void run_on(weir::runtime& rt, const std::string& root, progress_counters& done, console& out) {
  std::stop_source stop;
  const on_exit request_stop{[&] { stop.request_stop(); }};  // however this ends, ~runtime finds little left to drain
  std::deque<weir::join_handle<report>> under_way;
  std::vector<std::string> batch;
  std::optional<totals> all;

  weir::join_handle<totals> counting;  // to tell how much is left; the files come first
  if (out.shows_progress())
    counting = rt.spawn([&root](std::stop_token token) { return count(root, token); },
                        {.prio = weir::lane::low, .stop = stop.get_token()});

  const auto look_around = [&] {
    if (caught != 0 || out.closed()) stop.request_stop();
    if (counting.valid() && counting.ready())
      if (auto t = counting.get(); t) all = *t;
    out.progress(all);
  };
  const auto print_oldest = [&] {
    while (true) {
      auto r = under_way.front().get_until(weir::clock_type::now() + tick);
      look_around();
      if (r) out.print(*r);
      else if (r.error().code == weir::errc::timeout) continue;
      else if (r.error().code != weir::errc::cancelled) r.value();  // throws what the task threw
      return under_way.pop_front();
    }
  };
  const auto send = [&] {
    if (batch.empty()) return;
    if (under_way.size() == window) print_oldest();
    under_way.push_back(rt.spawn([paths = std::exchange(batch, {}), &done](std::stop_token token) {
      return hash_batch(paths, done, token);
    }, {.stop = stop.get_token()}));
    while (!under_way.empty() && under_way.front().ready()) print_oldest();
    look_around();
  };

  const auto file = [&](std::string path) {
    batch.push_back(std::move(path));
    if (batch.size() == batch_size) send();
    return !stop.stop_requested();
  };
  walk(root, file, [&](const std::string& path, int error) {
    std::string text;
    append_message(text, path, error);
    out.message(text);
  });
  if (!stop.stop_requested()) send();
  while (!under_way.empty()) print_oldest();
}

// ---- the command line

constexpr char usage[] =
    "usage: treesum [--serial | --workers N] [--quiet | --progress] [--time] DIR\n"
    "  Prints the SHA-256 of every regular file below DIR as sha256sum does, sorted by path.\n"
    "  --serial      on one thread, without the runtime\n"
    "  --workers N   on N workers (0: what the machine allows)\n"
    "  --quiet       no progress on stderr (default: if it is a terminal)\n"
    "  --progress    progress in any case\n"
    "  --time        afterwards, how much and how long, on stderr\n"
    "Exit status: 0; 1 if something could not be read or written; 2 for a wrong command line; 130 or 143 when stopped\n"
    "by SIGINT or SIGTERM: then what was finished has been printed.\n";

struct settings {
  std::string root;
  unsigned workers = 0;
  bool serial = false, time = false;
  console::show progress = console::show::automatic;
};

[[noreturn]] void reject(const std::string& why) {
  if (!why.empty()) std::fprintf(stderr, "treesum: %s\n", why.c_str());
  std::fprintf(stderr, "Try 'treesum --help'.\n");
  std::exit(2);
}

settings parse(int argc, char** argv) {
  static const option options[] = {
      {"serial", no_argument, nullptr, 's'},   {"workers", required_argument, nullptr, 'w'},
      {"quiet", no_argument, nullptr, 'q'},    {"progress", no_argument, nullptr, 'p'},
      {"time", no_argument, nullptr, 't'},     {"help", no_argument, nullptr, 'h'},
      {nullptr, 0, nullptr, 0},
  };
  settings s;
  bool workers_given = false;
  for (int c; (c = ::getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    switch (c) {
      case 's': s.serial = true; break;
      case 'q': s.progress = console::show::never; break;
      case 'p': s.progress = console::show::always; break;
      case 't': s.time = true; break;
      case 'w': {
        const std::string_view text = optarg;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), s.workers);
        if (error != std::errc{} || end != text.data() + text.size())
          reject("--workers wants a number, not '" + std::string(text) + "'");
        workers_given = true;
        break;
      }
      case 'h': std::fputs(usage, stdout); std::exit(0);
      default: reject("");  // getopt_long has said why
    }
  }
  if (s.serial && workers_given) reject("--serial and --workers exclude each other");
  if (optind == argc) reject("which directory?");
  if (optind + 1 < argc) reject("one directory at a time, please");
  s.root = argv[optind];
  return s;
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int number) { caught = number; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second Ctrl-C ends it the hard way
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a write error like any other
}

// Like find, treesum does not follow links, not even this one; but it says so.
std::string why_not_a_tree(const std::string& root) {
  struct stat st;
  if (::lstat(root.c_str(), &st) != 0) return std::system_category().message(errno);
  if (S_ISLNK(st.st_mode)) return "is a symbolic link; to follow it, add a '/'";
  return S_ISDIR(st.st_mode) ? "" : "is not a directory";
}

}  // namespace

int main(int argc, char** argv) {
  const settings s = parse(argc, argv);
  if (const std::string why = why_not_a_tree(s.root); !why.empty()) {
    std::fprintf(stderr, "treesum: %s: %s\n", s.root.c_str(), why.c_str());
    return 1;
  }
  catch_signals();
  progress_counters done;
  console out(s.progress, done);
  try {
    if (s.serial) {
      run_serially(s.root, done, out);
    } else {
      weir::runtime rt({.workers = s.workers, .name = "treesum"});
      run_on(rt, s.root, done, out);
    }
  } catch (const std::invalid_argument& e) {  // an option of the runtime
    reject(e.what());
  } catch (const std::exception& e) {
    out.message(std::string("treesum: ") + e.what() + '\n');
  }
  if (s.time) out.summary();
  if (caught != 0) {
    out.message("treesum: stopped\n");
    return 128 + caught;
  }
  return out.failed() ? 1 : 0;
}
