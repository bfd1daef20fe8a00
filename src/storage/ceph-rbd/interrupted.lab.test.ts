import { setDefaultTimeout } from "bun:test";
import { useCeph } from "./testing/ceph-pool.ts";
import { interruptions } from "./testing/interruptions.ts";

setDefaultTimeout(240_000);
interruptions(useCeph(), "process");
