/** A classic MBR partition table: four slots in the first sector, addressed by sector number (no CHS geometry). */
import { assert } from "../../../lib/assert.ts";

export const sectorBytes = 512;

export type Partition = {
	/** 0xEF EFI system, 0x83 Linux. */
	type: number;
	startSector: number;
	sectorCount: number;
	/** The BIOS boots the one that is active. */
	active: boolean;
};

/** The first sector: boot code (at most 440 bytes), a disk signature, the partitions, 0x55AA. */
export function writeMbr(bootCode: Uint8Array, diskSignature: number, partitions: readonly Partition[]): Uint8Array {
	assert(bootCode.length <= 440, "MBR boot code is at most 440 bytes");
	assert(partitions.length <= 4, "an MBR holds at most four partitions");
	const sector = Buffer.alloc(sectorBytes);
	sector.set(bootCode, 0);
	sector.writeUInt32LE(diskSignature, 440);
	for (const [index, partition] of partitions.entries()) {
		const at = 446 + index * 16;
		sector.writeUInt8(partition.active ? 0x80 : 0, at);
		sector.set([0xfe, 0xff, 0xff], at + 1); // first CHS address: "beyond CHS, use the sector number"
		sector.writeUInt8(partition.type, at + 4);
		sector.set([0xfe, 0xff, 0xff], at + 5);
		sector.writeUInt32LE(partition.startSector, at + 8);
		sector.writeUInt32LE(partition.sectorCount, at + 12);
	}
	sector.writeUInt16LE(0xaa55, 510);
	return sector;
}
