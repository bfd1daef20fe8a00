/**
 * Paths on a node that a person names: the folder of a pool, the file of an image. Only administrators may (the
 * routes see to that); these checks keep mistakes and smuggled dots from reaching places where data or secrets of the
 * system are. What the path turns out to be (a symlink, a device) is checked again by the node that opens it.
 */
import { AppError } from "../lib/errors.ts";
import { imagePathRefusal, isInside, poolPathRefusal } from "../model/host-paths.ts";

/** The path without a trailing slash; `invalid` with the field's path when it is not acceptable. */
export function checkHostPath(
	path: string,
	field: string,
	options: { dataDir: string; use: "pool" | "image" },
): string {
	const refuse = (message: string): never => {
		throw new AppError("invalid", `The path is not acceptable: ${message}`, { fields: [{ path: field, message }] });
	};
	const trimmed = path.replace(/\/+$/, "");
	if (trimmed === "") refuse("It is the root folder.");
	if (!trimmed.startsWith("/")) refuse("It must begin with '/'.");
	if (/[\u0000-\u001f\u007f]/.test(trimmed)) refuse("It contains control characters.");
	if (!trimmed.isWellFormed()) refuse("It is no valid text.");
	if (Buffer.byteLength(trimmed) > 4095) refuse("It is too long.");
	const parts = trimmed.slice(1).split("/");
	if (parts.some((part) => part === "" || part === "." || part === "..")) refuse("It contains '//', '/./' or '/../'.");
	const refusal = options.use === "pool" ? poolPathRefusal(trimmed) : imagePathRefusal(trimmed);
	if (refusal !== null) refuse(refusal);
	const ownPools = `${options.dataDir}/pools`;
	if (options.use === "pool" && isInside(trimmed, ownPools) && trimmed !== ownPools) return trimmed;
	if (isInside(trimmed, options.dataDir)) refuse("It is inside the folder of LimiQuantix itself.");
	if (options.use === "pool" && isInside(options.dataDir, trimmed)) refuse("The folder of LimiQuantix is inside it.");
	return trimmed;
}
