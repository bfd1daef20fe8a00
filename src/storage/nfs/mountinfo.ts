/** /proc/self/mountinfo (proc(5)): what is mounted where, without touching any of it. Pure. */

export type MountEntry = {
	/** Of this mount, and of no other as long as it is there. */
	id: string;
	mountPoint: string;
	fsType: string;
	/** As it was given to mount: "server:/export". */
	source: string;
	/** Of the file system: "vers=4.2", "addr=…". */
	superOptions: readonly string[];
};

/** In the order of mounting: of two at one place the last one is seen. Lines that are none are left out. */
export function parseMountinfo(text: string): MountEntry[] {
	const entries: MountEntry[] = [];
	for (const line of text.split("\n")) {
		const fields = line.split(" ");
		const dash = fields.indexOf("-", 6);
		const [id = "", mountPoint, fsType, source] = [fields[0], fields[4], fields[dash + 1], fields[dash + 2]];
		if (dash < 0 || mountPoint === undefined || fsType === undefined || source === undefined) continue;
		const superOptions = (fields[dash + 3] ?? "").split(",").filter((option) => option !== "");
		entries.push({ id, mountPoint: unescaped(mountPoint), fsType, source: unescaped(source), superOptions });
	}
	return entries;
}

/** What is mounted at this very path, the topmost last. */
export const mountsAt = (entries: readonly MountEntry[], path: string): MountEntry[] =>
	entries.filter(({ mountPoint }) => mountPoint === path);

export const isNfs = ({ fsType }: MountEntry): boolean => /^nfs4?$/.test(fsType);

/** "3", "4.0", "4.1", "4.2", or null where it does not say. */
export function nfsVersion({ superOptions }: MountEntry): string | null {
	const version = superOptions.find((option) => option.startsWith("vers="))?.slice("vers=".length) ?? null;
	return version === "4" ? "4.0" : version;
}

/** Space, tab, newline and backslash are written as three octal digits, byte by byte. */
function unescaped(field: string): string {
	if (!field.includes("\\")) return field;
	const bytes = Buffer.from(field, "utf8").toString("latin1");
	const plain = bytes.replace(/\\([0-7]{3})/g, (_all, digits: string) =>
		String.fromCharCode(Number.parseInt(digits, 8)),
	);
	return Buffer.from(plain, "latin1").toString("utf8");
}
