/** What a node brings when it joins. */
import { AppError } from "../../lib/errors.ts";
import type { Handlers } from "./handler.ts";

const missing = (): never => {
	throw new AppError("unsupported", "This command has no rules yet.");
};

export const nodeImportHandlers: Handlers<"nodeImport"> = {
	nodeImport: missing,
};
