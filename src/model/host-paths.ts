/**
 * Which folders of a node a pool may be in and an image may be read from: the one list, for the API (early, on the text)
 * and for the node (on the real path, symbolic links followed). Paths are absolute, without '.', '..' and a '/' at the
 * end. Folders are those of the Filesystem Hierarchy Standard 3.0. Pure.
 */

/** No pool here, nor below. */
const systemFolders = [
	...["/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin"],
	...["/sys", "/usr", "/var/run", "/var/lock"],
];
/** No pool here itself: everybody's things are in them. A folder below may be one. */
const sharedFolders = [
	...["/", "/home", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var", "/var/cache", "/var/lib", "/var/lib/libvirt"],
	...["/var/log", "/var/spool", "/var/tmp"],
];
/** Never read as an image: the kernel's, and where the system keeps its secrets. /root is where root keeps images. */
const secretFolders = ["/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var/run", "/var/lock"];

/** True for the folder and all that is below it. */
export const isInside = (path: string, folder: string): boolean =>
	path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);

/** Null when a pool may be there, else why not, as a sentence. */
export function poolPathRefusal(path: string): string | null {
	if (path === "/" || path === "") return "It is the root folder.";
	const system = systemFolders.find((folder) => isInside(path, folder));
	if (system !== undefined) return `It is inside ${system}.`;
	return sharedFolders.includes(path) ? `${path} is shared with others. Choose a folder in it.` : null;
}

/** Null when an image may be read there, else why not, as a sentence. */
export function imagePathRefusal(path: string): string | null {
	const secret = secretFolders.find((folder) => isInside(path, folder));
	return secret === undefined ? null : `It is inside ${secret}.`;
}
