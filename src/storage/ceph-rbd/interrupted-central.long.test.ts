import { setDefaultTimeout } from "bun:test";
import { interruptions } from "../../testing/lab/ceph-interruptions.ts";
import { useCeph } from "../../testing/lab/ceph-pool.ts";

setDefaultTimeout(600_000);
interruptions(useCeph(), "process", "central");
