/** Every operation that changes a local pool, cut short before each of its steps by an error. */
import { interruptedBy } from "./testing/interruptions.ts";

interruptedBy("error");
