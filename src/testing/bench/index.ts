/** All benchmarks, in the order in which they run. */
import type { Bench } from "./bench.ts";
import { vncProxy } from "./vnc-proxy.ts";

export const benches: readonly Bench[] = [vncProxy];
