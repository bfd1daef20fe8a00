/**
 * Which stored password hash a password was verified against, to be compared where the command applies. Hexadecimal
 * SHA-256: the log then holds no hash of a password once more.
 */
import { createHash } from "node:crypto";

export const passwordFingerprint = (storedHash: string): string =>
	createHash("sha256").update(storedHash).digest("hex");
