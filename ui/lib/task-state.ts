/** As `isFinished` of src/model/task.ts, which carries schemas that the browser need not load. */
import type { TaskState } from "../../src/model/task.ts";

export const isFinished = (state: TaskState): boolean =>
	state === "succeeded" || state === "failed" || state === "canceled";
