/** Every operation that changes a local pool, cut short before each of its steps by the end of the process; interrupted.long.test.ts has errors. */
import { interruptedBy } from "./testing/interruptions.ts";

interruptedBy("process");
