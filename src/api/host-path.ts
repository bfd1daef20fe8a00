/**
 * Paths on a node that a person names: the folder of a pool, the file of an image. Only administrators may (the
 * routes see to that); these checks keep mistakes and smuggled dots from reaching places where data or secrets of the
 * system are. What the path turns out to be (a symlink, a device) is checked again by the node that opens it.
 */
import { AppError } from "../lib/errors.ts";

/** Folders that are never a pool, with everything in them. */
const systemFolders = [
	"/bin",
	"/boot",
	"/dev",
	"/etc",
	"/lib",
	"/lib64",
	"/proc",
	"/root",
	"/run",
	"/sbin",
	"/sys",
	"/usr",
];
/** Never read as an image. */
const secretFolders = ["/dev", "/etc", "/proc", "/run", "/sys"];

const isInside = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

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
	for (const folder of options.use === "pool" ? systemFolders : secretFolders)
		if (isInside(trimmed, folder)) refuse(`It is inside ${folder}.`);
	const ownPools = `${options.dataDir}/pools`;
	if (options.use === "pool" && isInside(trimmed, ownPools) && trimmed !== ownPools) return trimmed;
	if (isInside(trimmed, options.dataDir)) refuse("It is inside the folder of LimiQuantix itself.");
	if (options.use === "pool" && isInside(options.dataDir, trimmed)) refuse("The folder of LimiQuantix is inside it.");
	return trimmed;
}
