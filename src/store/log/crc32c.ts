/**
 * CRC-32C (Castagnoli), as in iSCSI (RFC 3720) and ext4: reflected polynomial 0x82F63B78. Eight bytes at a time by
 * eight tables ("slicing-by-8"). The check value of "123456789" is 0xE3069283.
 */

const tables = makeTables();

function makeTables(): Uint32Array[] {
	const first = new Uint32Array(256);
	for (let byte = 0; byte < 256; byte++) {
		let crc = byte;
		for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
		first[byte] = crc >>> 0;
	}
	const all = [first];
	for (let slice = 1; slice < 8; slice++) {
		const before = all[slice - 1] ?? first;
		all.push(before.map((crc) => (crc >>> 8) ^ (first[crc & 0xff] ?? 0)));
	}
	return all;
}

/** Of `data` from `start` to `end`, going on from `crc` of what came before (0 at the beginning). */
export function crc32c(data: Uint8Array, crc = 0, start = 0, end = data.length): number {
	const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
		Uint32Array,
		Uint32Array,
		Uint32Array,
		Uint32Array,
		Uint32Array,
		Uint32Array,
		Uint32Array,
		Uint32Array,
	];
	const at = (table: Uint32Array, index: number): number => table[index] as number;
	const byteAt = (position: number): number => data[position] as number;
	let value = ~crc;
	let position = start;
	const sliced = end - ((end - start) % 8);
	while (position < sliced) {
		const low =
			value ^
			(byteAt(position) | (byteAt(position + 1) << 8) | (byteAt(position + 2) << 16) | (byteAt(position + 3) << 24));
		value =
			at(t7, low & 0xff) ^
			at(t6, (low >>> 8) & 0xff) ^
			at(t5, (low >>> 16) & 0xff) ^
			at(t4, low >>> 24) ^
			at(t3, byteAt(position + 4)) ^
			at(t2, byteAt(position + 5)) ^
			at(t1, byteAt(position + 6)) ^
			at(t0, byteAt(position + 7));
		position += 8;
	}
	while (position < end) {
		value = (value >>> 8) ^ at(t0, (value ^ byteAt(position)) & 0xff);
		position += 1;
	}
	return ~value >>> 0;
}
