// weir: everything that is promised.
#pragma once

#include <weir/error.hpp>
#include <weir/executor.hpp>
#include <weir/fork_each.hpp>
#include <weir/fork_join.hpp>
#include <weir/join_handle.hpp>
#include <weir/metrics.hpp>
#include <weir/options.hpp>
#include <weir/parallel.hpp>
#include <weir/result_stream.hpp>
#include <weir/runtime.hpp>
#include <weir/sim.hpp>
#include <weir/strand.hpp>
#include <weir/task.hpp>
#include <weir/task_group.hpp>
#include <weir/timer.hpp>
