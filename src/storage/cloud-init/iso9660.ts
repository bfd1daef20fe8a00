/**
 * A small ISO 9660 image (ECMA-119, interchange level 1) of a few files in the root folder, with their real names twice:
 * as Rock Ridge (SUSP and RRIP 1.09; Linux, BSD) and as Joliet (Windows). Pure: the same files give the same bytes, all
 * times are 1980-01-01.
 */
import { assert } from "../../lib/assert.ts";

export type IsoFile = {
	/** 1 to 64 of `a-z 0-9 . -`. */
	name: string;
	content: Uint8Array;
};

const sector = 2048;
/** Fixed places of the parts, in sectors; the files follow. */
const place = {
	primary: 16,
	joliet: 17,
	end: 18,
	tableL: 19,
	tableM: 20,
	jolietL: 21,
	jolietM: 22,
	root: 23,
	jolietRoot: 24,
	files: 25,
};
const pathTableBytes = 10;
/** Empty sectors at the end, as mkisofs writes them: some programs that look for file systems give up on tiny disks. */
const paddingSectors = 150;

type Placed = IsoFile & { extent: number };
type Encoding = { text(value: string): Uint8Array; space: Uint8Array };
const ascii: Encoding = { text: (value) => Buffer.from(value, "latin1"), space: Uint8Array.of(0x20) };
const ucs2: Encoding = {
	text: (value) => Buffer.from(value, "utf16le").swap16(),
	space: Uint8Array.of(0, 0x20),
};

/** `label`: at most 16 characters, kept as written. At most 8 files. */
export function iso9660(label: string, files: IsoFile[]): Uint8Array {
	assert(/^[A-Za-z0-9_]{1,16}$/.test(label), "label of the ISO image");
	assert(files.length <= 8 && files.every((file) => /^[a-z0-9.-]{1,64}$/.test(file.name)), "files of the ISO image");
	let next = place.files;
	const placed = files.map((file): Placed => {
		const extent = next;
		next += Math.ceil(file.content.length / sector);
		return { ...file, extent };
	});
	const sectors = next + paddingSectors;
	const image = new Uint8Array(sectors * sector);
	const put = (at: number, bytes: Uint8Array) => image.set(bytes, at * sector);
	put(place.primary, volumeDescriptor("primary", label, sectors));
	put(place.joliet, volumeDescriptor("joliet", label, sectors));
	put(place.end, descriptorHead(255));
	put(place.tableL, pathTable(place.root, true));
	put(place.tableM, pathTable(place.root, false));
	put(place.jolietL, pathTable(place.jolietRoot, true));
	put(place.jolietM, pathTable(place.jolietRoot, false));
	put(place.root, folder(place.root, placed, primaryName, rockRidge));
	put(
		place.jolietRoot,
		folder(place.jolietRoot, placed, (file) => ucs2.text(`${file.name};1`), noSystemUse),
	);
	for (const file of placed) put(file.extent, file.content);
	return image;
}

function descriptorHead(type: number): Uint8Array {
	const bytes = new Uint8Array(sector);
	bytes.set([type, ...ascii.text("CD001"), 1]);
	return bytes;
}

/** ECMA-119 8.4 and 8.5. */
function volumeDescriptor(kind: "primary" | "joliet", label: string, sectors: number): Uint8Array {
	const primary = kind === "primary";
	const encoding = primary ? ascii : ucs2;
	const bytes = descriptorHead(primary ? 1 : 2);
	const text = (at: number, length: number, value = "") => {
		for (let i = 0; i + encoding.space.length <= length; i += encoding.space.length) bytes.set(encoding.space, at + i);
		bytes.set(encoding.text(value), at);
	};
	text(8, 32);
	text(40, 32, label);
	bytes.set(both32(sectors), 80);
	// UCS-2 level 3: what makes the second descriptor Joliet.
	if (!primary) bytes.set(ascii.text("%/E"), 88);
	bytes.set(both16(1), 120);
	bytes.set(both16(1), 124);
	bytes.set(both16(sector), 128);
	bytes.set(both32(pathTableBytes), 132);
	const view = new DataView(bytes.buffer);
	view.setUint32(140, primary ? place.tableL : place.jolietL, true);
	view.setUint32(148, primary ? place.tableM : place.jolietM, false);
	bytes.set(record(Uint8Array.of(0), primary ? place.root : place.jolietRoot, sector, true, noBytes), 156);
	for (const at of [190, 318, 446, 574]) text(at, 128);
	for (const at of [702, 739, 776]) text(at, 37);
	// Times that are not said: sixteen digits 0 and an offset of 0.
	for (const at of [813, 830, 847, 864]) bytes.set(ascii.text("0".repeat(16)), at);
	bytes[881] = 1;
	return bytes;
}

/** The root folder alone (9.4). */
function pathTable(extent: number, littleEndian: boolean): Uint8Array {
	const bytes = new Uint8Array(pathTableBytes);
	const view = new DataView(bytes.buffer);
	bytes[0] = 1;
	view.setUint32(2, extent, littleEndian);
	view.setUint16(6, 1, littleEndian);
	return bytes;
}

type NameOf = (file: Placed) => Uint8Array;
type SystemUse = (what: "self" | "parent" | Placed) => Uint8Array;

/** One sector: itself, its parent (itself), and the files in the order of their names (9.3). */
function folder(extent: number, files: Placed[], nameOf: NameOf, systemUse: SystemUse): Uint8Array {
	const sorted = files.map((file) => ({ file, name: nameOf(file) })).sort((a, b) => Buffer.compare(a.name, b.name));
	const records = [
		record(Uint8Array.of(0), extent, sector, true, systemUse("self")),
		record(Uint8Array.of(1), extent, sector, true, systemUse("parent")),
		...sorted.map(({ file, name }) => record(name, file.extent, file.content.length, false, systemUse(file))),
	];
	const bytes = Buffer.concat(records);
	assert(bytes.length <= sector, "the folder of the ISO image fits into one sector");
	return bytes;
}

/** A directory record (9.1). */
function record(name: Uint8Array, extent: number, size: number, isFolder: boolean, systemUse: Uint8Array): Uint8Array {
	const nameEnd = 33 + name.length + (name.length % 2 === 0 ? 1 : 0);
	const length = nameEnd + systemUse.length + (systemUse.length % 2);
	assert(length <= 254, "a directory record is one byte long");
	const bytes = new Uint8Array(length);
	bytes[0] = length;
	bytes.set(both32(extent), 2);
	bytes.set(both32(size), 10);
	bytes.set([80, 1, 1, 0, 0, 0, 0], 18);
	bytes[25] = isFolder ? 2 : 0;
	bytes.set(both16(1), 28);
	bytes[32] = name.length;
	bytes.set(name, 33);
	bytes.set(systemUse, nameEnd);
	return bytes;
}

/** Eight letters without what level 1 lacks, as "METADATA.;1"; only readers without Rock Ridge and Joliet see it. */
const primaryName: NameOf = (file) =>
	ascii.text(
		`${file.name
			.toUpperCase()
			.replace(/[^A-Z0-9]/g, "")
			.slice(0, 8)}.;1`,
	);

const noBytes = new Uint8Array(0);
const noSystemUse: SystemUse = () => noBytes;

const rockRidge: SystemUse = (what) => {
	if (what === "self") return Buffer.concat([systemUseStart, posix(0o040_555, 2), rockRidgeReference]);
	if (what === "parent") return posix(0o040_555, 2);
	const name = ascii.text(what.name);
	return Buffer.concat([entry("NM", Uint8Array.of(0, ...name)), posix(0o100_444, 1)]);
};

const entry = (signature: string, data: Uint8Array): Uint8Array =>
	Uint8Array.of(...ascii.text(signature), data.length + 4, 1, ...data);
const systemUseStart = entry("SP", Uint8Array.of(0xbe, 0xef, 0));
const reference = { id: "RRIP_1991A", description: "POSIX file names and modes", source: "IEEE P1282" };
const rockRidgeReference = entry(
	"ER",
	Uint8Array.of(
		...[reference.id.length, reference.description.length, reference.source.length, 1],
		...ascii.text(reference.id + reference.description + reference.source),
	),
);
/** Mode, links, user 0, group 0. */
const posix = (mode: number, links: number): Uint8Array =>
	entry("PX", Buffer.concat([both32(mode), both32(links), both32(0), both32(0)]));

function both16(value: number): Uint8Array {
	const view = new DataView(new ArrayBuffer(4));
	view.setUint16(0, value, true);
	view.setUint16(2, value, false);
	return new Uint8Array(view.buffer);
}

function both32(value: number): Uint8Array {
	const view = new DataView(new ArrayBuffer(8));
	view.setUint32(0, value, true);
	view.setUint32(4, value, false);
	return new Uint8Array(view.buffer);
}
