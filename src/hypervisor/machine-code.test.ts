import { expect, test } from "bun:test";
import { MachineCode } from "./machine-code.ts";

test("references to labels before and after are filled in", () => {
	const image = new MachineCode(0xffff0000, 16)
		.label("top")
		.code("eb")
		.jump8("end") // 0x01: from 2 to 6
		.code("eb")
		.jump8("top") // 0x03: from 4 back to 0
		.offset16("end")
		.label("end")
		.address32("end")
		.seek(12)
		.code("e9")
		.jump16("top")
		.build();
	expect(Buffer.from(image).toString("hex")).toBe(`eb04ebfc0600${"0600ffff"}0000${"e9f1ff"}00`);
});

test("numbers are little endian, above 2^31 too", () => {
	const image = new MachineCode(0, 6).u16(0x1234).u32(0xfee000b0).build();
	expect(Buffer.from(image).toString("hex")).toBe("3412b000e0fe");
});

test("mistakes are found when the code is put together", () => {
	expect(() => new MachineCode(0, 4).code("eb").jump8("nowhere").build()).toThrow("nowhere");
	expect(() => new MachineCode(0, 4).label("a").label("a")).toThrow("twice");
	expect(() => new MachineCode(0, 4).code("0g")).toThrow("not a byte");
	expect(() => new MachineCode(0, 2).code("90 90 90")).toThrow("not fit");
	expect(() => new MachineCode(0, 8).code("90 90").seek(1)).toThrow("taken");
	const far = new MachineCode(0, 512).code("eb").jump8("far").seek(300).label("far");
	expect(() => far.build()).toThrow("too far");
});
