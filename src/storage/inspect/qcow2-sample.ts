/** Small qcow2 files made byte by byte, for tests: good ones, and ones that point where they must not. */

export type Qcow2Sample = {
	virtualSizeBytes: number;
	version?: 2 | 3;
	backingFile?: string;
	/** Header extensions: type and data. */
	extensions?: { type: number; data: Uint8Array }[];
	incompatibleFeatures?: bigint;
	cryptMethod?: number;
};

const clusterBits = 16;
const clusterBytes = 2 ** clusterBits;

/** Four clusters: header, reference counts (table and block), first-level table. No data: the disk is all zeroes. */
export function qcow2Sample(options: Qcow2Sample): Uint8Array {
	const bytes = new Uint8Array(4 * clusterBytes);
	const view = new DataView(bytes.buffer);
	const version = options.version ?? 3;
	const headerLength = version === 3 ? 104 : 72;
	view.setUint32(0, 0x514649fb);
	view.setUint32(4, version);
	view.setUint32(20, clusterBits);
	view.setBigUint64(24, BigInt(options.virtualSizeBytes));
	view.setUint32(32, options.cryptMethod ?? 0);
	const bytesOfEntry = clusterBytes * (clusterBytes / 8);
	view.setUint32(36, Math.ceil(options.virtualSizeBytes / bytesOfEntry));
	view.setBigUint64(40, BigInt(3 * clusterBytes));
	view.setBigUint64(48, BigInt(clusterBytes));
	view.setUint32(56, 1);
	if (version === 3) {
		view.setBigUint64(72, options.incompatibleFeatures ?? 0n);
		view.setUint32(96, 4);
		view.setUint32(100, headerLength);
	}
	const end = writeExtensions(view, bytes, headerLength, options.extensions ?? []);
	if (options.backingFile !== undefined) {
		const name = new TextEncoder().encode(options.backingFile);
		view.setBigUint64(8, BigInt(end));
		view.setUint32(16, name.length);
		bytes.set(name, end);
	}
	view.setBigUint64(clusterBytes, BigInt(2 * clusterBytes));
	for (let cluster = 0; cluster < 4; cluster++) view.setUint16(2 * clusterBytes + 2 * cluster, 1);
	return bytes;
}

function writeExtensions(view: DataView, bytes: Uint8Array, start: number, all: { type: number; data: Uint8Array }[]) {
	let at = start;
	for (const { type, data } of all) {
		view.setUint32(at, type);
		view.setUint32(at + 4, data.length);
		bytes.set(data, at + 8);
		at += 8 + Math.ceil(data.length / 8) * 8;
	}
	return at + 8;
}
