/** What is held while a volume is made: the volume, and what it is made of. */
import { AppError } from "../lib/errors.ts";
import type { CreateSource } from "./driver.ts";
import { requireId } from "./names.ts";
import type { WantedLock } from "./operation-locks.ts";

/** `changesSource`: a copy-on-write copy changes the volume that it is made of, as where both rest on what it was then. Else it is only read. */
export function makingLocks(
	id: string,
	source: CreateSource,
	{ changesSource }: { changesSource: boolean },
): WantedLock[] {
	const lock = (kind: "volume" | "image", of: string, how: WantedLock["how"]): WantedLock => ({
		...{ key: `${kind}:${of}`, how, busyMessage: `The ${kind} ${of} is busy with another operation.` },
	});
	const own = lock("volume", id, "exclusive");
	if (source.kind === "empty") return [own];
	const kind = source.kind === "image" ? "image" : "volume";
	requireId(source.id, kind);
	if (kind === "volume" && source.id === id) throw new AppError("invalid", "A volume is not made of itself.");
	const changes = changesSource && source.kind === "volume" && !source.fullCopy;
	return [own, lock(kind, source.id, changes ? "exclusive" : "shared")];
}
