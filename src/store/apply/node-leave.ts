/** How nodes go. */
import { AppError } from "../../lib/errors.ts";
import type { Handlers } from "./handler.ts";

const missing = (): never => {
	throw new AppError("unsupported", "This command has no rules yet.");
};

export const nodeLeaveHandlers: Handlers<"nodeRemove" | "nodeGone"> = {
	nodeRemove: missing,
	nodeGone: missing,
};
