// A result cannot hold an error as its value.
#include <weir/error.hpp>

#ifdef MISUSE
weir::result<weir::error> use(weir::error e) { return e; }
#else
weir::result<int> use(weir::error e) { return e; }
#endif
