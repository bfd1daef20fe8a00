/**
 * CRC-32C (Castagnoli), as in iSCSI (RFC 3720) and ext4: reflected polynomial 0x82F63B78. Eight bytes at a time by
 * eight tables ("slicing-by-8"). The check value of "123456789" is 0xE3069283.
 */

const tables = makeTables();

/** One after the other: table `slice` begins at 256 * slice. */
function makeTables(): Int32Array {
	const all = new Int32Array(8 * 256);
	for (let byte = 0; byte < 256; byte++) {
		let crc = byte;
		for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
		all[byte] = crc;
	}
	for (let at = 256; at < all.length; at++) {
		const before = all[at - 256] as number;
		all[at] = (before >>> 8) ^ (all[before & 0xff] as number);
	}
	return all;
}

/**
 * Of `data` from `start` to `end`, going on from `crc` of what came before (0 at the beginning). Every byte that is written
 * or read goes through it: no helper functions, which are not always inlined.
 */
export function crc32c(data: Uint8Array, crc = 0, start = 0, end = data.length): number {
	const table = tables;
	let value = ~crc;
	let position = start;
	while (position + 8 <= end) {
		const low =
			value ^
			((data[position] as number) |
				((data[position + 1] as number) << 8) |
				((data[position + 2] as number) << 16) |
				((data[position + 3] as number) << 24));
		value =
			(table[1792 + (low & 0xff)] as number) ^
			(table[1536 + ((low >>> 8) & 0xff)] as number) ^
			(table[1280 + ((low >>> 16) & 0xff)] as number) ^
			(table[1024 + (low >>> 24)] as number) ^
			(table[768 + (data[position + 4] as number)] as number) ^
			(table[512 + (data[position + 5] as number)] as number) ^
			(table[256 + (data[position + 6] as number)] as number) ^
			(table[data[position + 7] as number] as number);
		position += 8;
	}
	// Most of what is checked is short: its end is a good part of it.
	if (position + 4 <= end) {
		const word =
			value ^
			((data[position] as number) |
				((data[position + 1] as number) << 8) |
				((data[position + 2] as number) << 16) |
				((data[position + 3] as number) << 24));
		value =
			(table[768 + (word & 0xff)] as number) ^
			(table[512 + ((word >>> 8) & 0xff)] as number) ^
			(table[256 + ((word >>> 16) & 0xff)] as number) ^
			(table[word >>> 24] as number);
		position += 4;
	}
	while (position < end) {
		value = (value >>> 8) ^ (table[(value ^ (data[position] as number)) & 0xff] as number);
		position += 1;
	}
	return ~value >>> 0;
}
