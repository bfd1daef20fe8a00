/** VMs that go to another node. */
import { AppError } from "../../lib/errors.ts";
import type { Handlers } from "./handler.ts";

const missing = (): never => {
	throw new AppError("unsupported", "This command has no rules yet.");
};

export const vmMoveHandlers: Handlers<"vmMove" | "vmMoved"> = {
	vmMove: missing,
	vmMoved: missing,
};
