/**
 * The smallest guest that tells whether an accelerator runs guests: a 64 KiB ROM in place of the firmware, so that it
 * is in charge from the reset vector on. It does what a kernel does first: real, protected and long mode, paging, CPUID,
 * MSRs, a locked 16-byte exchange, a changed page table, timer interrupts out of HLT; and it counts, because an
 * accelerator that interprets kernel code a few instructions at a time gets through all of the rest and is no use.
 *
 * It writes one letter a line to the debug console (port 0xE9) as it gets on, and leaves through isa-debug-exit
 * (port 0xF4), which ends QEMU with 2 × value + 1. Encodings: Intel SDM volume 2; modes, paging, APIC: volume 3.
 */
import { MachineCode } from "./machine-code.ts";

/** The letters in order; the text says what has worked when the letter appears. */
export const probeStages = [
	{ letter: "R", reached: "real mode" },
	{ letter: "P", reached: "protected mode" },
	{ letter: "L", reached: "64-bit mode with paging" },
	{ letter: "C", reached: "CPUID" },
	{ letter: "M", reached: "model-specific registers" },
	{ letter: "A", reached: "atomic instructions" },
	{ letter: "V", reached: "changes of page tables" },
	{ letter: "I", reached: "timer interrupts" },
	{ letter: "S", reached: "counting at full speed" },
] as const;

/** Written when the guest gets an exception or a wrong result. */
export const probeFaultLetter = "X";

/** QEMU's exit code when the guest is content, and when it found a fault. */
export const probeExitCodes = { success: 0x2a * 2 + 1, fault: 0x07 * 2 + 1 } as const;

const romBytes = 0x10000;
const romBase = 0xffff0000;
const timerVector = 0x20;
const spuriousVector = 0xff;
/** Ring 0 turns of the counting loop: about 20 ms on hardware. */
const countingTurns = 10_000_000;

/** Segment selectors of the table below. */
const code32 = 0x08;
const code64 = 0x18;

/** Writes one letter and a line feed to the debug console; changes AL only, the same bytes in all modes. */
function stage(code: MachineCode, letter: string): void {
	const hex = letter.charCodeAt(0).toString(16);
	code.code(`b0 ${hex}`); //        mov al, letter
	code.code("e6 e9"); //            out 0xe9, al
	code.code("b0 0a"); //            mov al, '\n'
	code.code("e6 e9"); //            out 0xe9, al
}

/** The ROM image, for QEMU's `-bios`. */
export function buildProbeGuest(): Uint8Array {
	const code = new MachineCode(romBase, romBytes);
	realMode(code);
	protectedMode(code);
	longMode(code);
	checkRegisters(code);
	checkAtomics(code);
	checkPageTables(code);
	checkInterrupts(code);
	countAndLeave(code);
	handlers(code);
	tables(code);
	code.seek(0xfff0).code("e9").jump16("start"); // the reset vector: jmp start
	return code.build();
}

function realMode(code: MachineCode): void {
	code.label("start");
	code.code("fa"); //                                          cli
	code.code("fc"); //                                          cld
	stage(code, "R");
	code.code("2e 66 0f 01 16").offset16("gdtPointer"); //       lgdt cs:[gdtPointer], 32-bit base
	code.code("0f 20 c0"); //                                    mov eax, cr0
	code.code("66 83 c8 01"); //                                 or eax, 1 (protection enable)
	code.code("0f 22 c0"); //                                    mov cr0, eax
	code.code("66 ea").address32("protected").u16(code32); //    jmp code32:protected
}

/** Page tables: 0x1000 level 4, 0x2000 level 3, 0x3000…0x6fff level 2: 4 GiB mapped to itself in 2 MiB pages. */
function protectedMode(code: MachineCode): void {
	code.label("protected");
	code.code("66 b8 10 00"); //                                 mov ax, 0x10 (flat data)
	code.code("8e d8").code("8e c0").code("8e d0"); //           mov ds, ax; mov es, ax; mov ss, ax
	code.code("bc").u32(0x80000); //                             mov esp, 0x80000
	stage(code, "P");
	code.code("bf").u32(0x1000); //                              mov edi, 0x1000
	code.code("31 c0"); //                                       xor eax, eax
	code.code("b9").u32(0x6000 / 4); //                          mov ecx, words to clear
	code.code("f3 ab"); //                                       rep stosd
	code.code("c7 05").u32(0x1000).u32(0x2003); //               mov dword [0x1000], 0x2000 + present + writable
	for (let quarter = 0; quarter < 4; quarter++)
		code
			.code("c7 05") //                                    mov dword [0x2000 + 8 × quarter],
			.u32(0x2000 + quarter * 8)
			.u32(0x3003 + quarter * 0x1000); //                      0x3000 + 0x1000 × quarter + present + writable
	code.code("bf").u32(0x3000); //                              mov edi, 0x3000
	code.code("b8").u32(0x83); //                                mov eax, 0 + present + writable + large page
	code.code("b9").u32(2048); //                                mov ecx, 2048
	code.label("nextPage");
	code.code("89 07"); //                                       mov [edi], eax
	code.code("83 c7 08"); //                                    add edi, 8
	code.code("05").u32(0x200000); //                            add eax, 2 MiB
	code.code("49"); //                                          dec ecx
	code.code("75").jump8("nextPage"); //                        jnz nextPage
	code.code("0f 20 e0"); //                                    mov eax, cr4
	code.code("83 c8 20"); //                                    or eax, 0x20 (PAE)
	code.code("0f 22 e0"); //                                    mov cr4, eax
	code.code("b8").u32(0x1000); //                              mov eax, 0x1000
	code.code("0f 22 d8"); //                                    mov cr3, eax
	code.code("b9").u32(0xc0000080); //                          mov ecx, IA32_EFER
	code.code("0f 32"); //                                       rdmsr
	code.code("0d").u32(0x100); //                               or eax, 0x100 (long mode enable)
	code.code("0f 30"); //                                       wrmsr
	code.code("0f 20 c0"); //                                    mov eax, cr0
	code.code("0d").u32(0x80010000); //                          or eax, paging + write protect
	code.code("0f 22 c0"); //                                    mov cr0, eax
	code.code("ea").address32("long").u16(code64); //            jmp code64:long
}

function longMode(code: MachineCode): void {
	code.label("long");
	stage(code, "L");
	code.code("b8").address32("idtPointer"); //                  mov eax, idtPointer
	code.code("0f 01 18"); //                                    lidt [rax]
}

/** CPUID leaves and MSRs that every x86-64 kernel reads at start; one is written and read back. */
function checkRegisters(code: MachineCode): void {
	for (const leaf of [0, 1, 0x80000000, 0x80000008]) {
		code.code("b8").u32(leaf); //                            mov eax, leaf
		code.code("31 c9"); //                                   xor ecx, ecx
		code.code("0f a2"); //                                   cpuid
	}
	stage(code, "C");
	// time stamp counter, APIC base, MTRR capabilities, page attributes
	for (const register of [0x10, 0x1b, 0xfe, 0x277]) {
		code.code("b9").u32(register); //                        mov ecx, register
		code.code("0f 32"); //                                   rdmsr
	}
	code.code("b9").u32(0xc0000080); //                          mov ecx, IA32_EFER
	code.code("0f 32"); //                                       rdmsr
	code.code("a9").u32(0x400); //                               test eax, 0x400 (long mode active)
	code.code("74").jump8("registersWrong"); //                  jz registersWrong
	code.code("b9").u32(0xc0000102); //                          mov ecx, IA32_KERNEL_GS_BASE
	code.code("b8").u32(0x12345678); //                          mov eax, 0x12345678
	code.code("31 d2"); //                                       xor edx, edx
	code.code("0f 30"); //                                       wrmsr
	code.code("31 c0"); //                                       xor eax, eax
	code.code("0f 32"); //                                       rdmsr
	code.code("3d").u32(0x12345678); //                          cmp eax, 0x12345678
	code.code("74").jump8("registersRight"); //                  je registersRight
	code.label("registersWrong");
	failHere(code);
	code.label("registersRight");
	stage(code, "M");
}

/** lock cmpxchg16b, when CPUID has it: kernels keep their free lists with it, and it defeats simple interpreters. */
function checkAtomics(code: MachineCode): void {
	code.code("b8").u32(1); //                                   mov eax, 1
	code.code("0f a2"); //                                       cpuid
	code.code("f7 c1").u32(1 << 13); //                          test ecx, CMPXCHG16B
	code.code("74").jump8("atomicsRight"); //                    jz atomicsRight
	code.code("bf").u32(0x7100); //                              mov edi, 0x7100
	code.code("31 c0"); //                                       xor eax, eax
	code.code("48 89 07"); //                                    mov [rdi], rax
	code.code("48 89 47 08"); //                                 mov [rdi + 8], rax
	code.code("31 d2"); //                                       xor edx, edx
	code.code("bb").u32(0x1111); //                              mov ebx, 0x1111
	code.code("b9").u32(0x2222); //                              mov ecx, 0x2222
	code.code("f0 48 0f c7 0f"); //                              lock cmpxchg16b [rdi]
	code.code("75").jump8("atomicsWrong"); //                    jne atomicsWrong
	code.code("48 81 7f 08").u32(0x2222); //                     cmp qword [rdi + 8], 0x2222
	code.code("74").jump8("atomicsRight"); //                    je atomicsRight
	code.label("atomicsWrong");
	failHere(code);
	code.label("atomicsRight");
	stage(code, "A");
}

/** The page at 1 GiB is put on two different 2 MiB pages in turn; each must keep what was written through it. */
function checkPageTables(code: MachineCode): void {
	code.code("bf").u32(0x40000000); //                          mov edi, 1 GiB
	for (const page of [0x200000, 0x400000]) {
		code
			.code("c7 04 25")
			.u32(0x4000)
			.u32(page + 0x83); //   mov dword [0x4000], page + present + writable + large
		code.code("0f 01 3f"); //                                invlpg [rdi]
		code.code("c7 07").u32(page + 1); //                     mov dword [rdi], page + 1
	}
	code.code("81 3c 25").u32(0x200000).u32(0x200001); //        cmp dword [0x200000], 0x200001
	code.code("75").jump8("pagesWrong"); //                      jne pagesWrong
	code.code("81 3c 25").u32(0x400000).u32(0x400001); //        cmp dword [0x400000], 0x400001
	code.code("74").jump8("pagesRight"); //                      je pagesRight
	code.label("pagesWrong");
	failHere(code);
	code.label("pagesRight");
	stage(code, "V");
}

/** Three one-shot interrupts of the local APIC's timer, each waking the processor from HLT. The count is at 0x7000. */
function checkInterrupts(code: MachineCode): void {
	code.code("b0 ff"); //                                       mov al, 0xff
	code.code("e6 21").code("e6 a1"); //                         out 0x21, al; out 0xa1, al: no interrupts of the old PICs
	code.code("bf").u32(0xfee00000); //                          mov edi, local APIC
	const writes = [
		[0x0f0, 0x100 + spuriousVector], //                          enable
		[0x350, 0x10000], //                                         LINT0 masked
		[0x320, timerVector], //                                     timer: one shot
		[0x3e0, 0x0b], //                                            divide by 1
	] as const;
	for (const [register, value] of writes) code.code("c7 87").u32(register).u32(value); // mov dword [rdi + register], value
	code.code("c7 04 25").u32(0x7000).u32(0); //                 mov dword [0x7000], 0
	code.label("nextInterrupt");
	code.code("8b 1c 25").u32(0x7000); //                        mov ebx, [0x7000]
	code.code("c7 87").u32(0x380).u32(100_000); //               mov dword [rdi + initial count], 100000
	code.label("waitInterrupt");
	code.code("fb"); //                                          sti
	code.code("f4"); //                                          hlt
	code.code("fa"); //                                          cli
	code.code("39 1c 25").u32(0x7000); //                        cmp [0x7000], ebx
	code.code("74").jump8("waitInterrupt"); //                   je waitInterrupt
	code.code("83 fb 02"); //                                    cmp ebx, 2
	code.code("75").jump8("nextInterrupt"); //                   jne nextInterrupt
	stage(code, "I");
}

/** Adds up countingTurns … 1 in memory and compares with the known sum. */
function countAndLeave(code: MachineCode): void {
	const sum = (BigInt(countingTurns) * BigInt(countingTurns + 1) * 2n ** 0n) / 2n;
	code.code("bf").u32(0x7200); //                              mov edi, 0x7200
	code.code("31 c0"); //                                       xor eax, eax
	code.code("48 89 07"); //                                    mov [rdi], rax
	code.code("b9").u32(countingTurns); //                       mov ecx, countingTurns
	code.label("count");
	code.code("48 01 0f"); //                                    add [rdi], rcx
	code.code("ff c9"); //                                       dec ecx
	code.code("75").jump8("count"); //                           jnz count
	code
		.code("48 b8")
		.u32(Number(sum & 0xffffffffn))
		.u32(Number(sum >> 32n)); // mov rax, sum
	code.code("48 39 07"); //                                    cmp [rdi], rax
	code.code("74").jump8("sumRight"); //                        je sumRight
	failHere(code);
	code.label("sumRight");
	stage(code, "S");
	code.code("b0 2a"); //                                       mov al, success
	code.code("e6 f4"); //                                       out 0xf4, al: QEMU ends
	code.label("halt").code("f4").code("eb").jump8("halt"); //   hlt; jmp halt
}

/** Says X and leaves with the code for a fault. */
function failHere(code: MachineCode): void {
	stage(code, probeFaultLetter);
	code.code("b0 07"); //                                       mov al, fault
	code.code("e6 f4"); //                                       out 0xf4, al: QEMU ends
}

function handlers(code: MachineCode): void {
	code.label("exception");
	failHere(code);
	code.code("f4"); //                                          hlt
	code.label("timer");
	code.code("50"); //                                          push rax
	code.code("ff 04 25").u32(0x7000); //                        inc dword [0x7000]
	code.code("b8").u32(0xfee000b0); //                          mov eax, end-of-interrupt register
	code.code("c7 00").u32(0); //                                mov dword [rax], 0
	code.code("58"); //                                          pop rax
	code.code("48 cf"); //                                       iretq
	code.label("spurious").code("48 cf"); //                     iretq
}

/** Descriptors have their accessed bit set already: the processor must not want to write it into the ROM. */
function tables(code: MachineCode): void {
	code.seek(0x1000).label("gdt");
	code.u32(0).u32(0);
	code.u32(0x0000ffff).u32(0x00cf9b00); // 0x08: 32-bit code, 4 GiB
	code.u32(0x0000ffff).u32(0x00cf9300); // 0x10: data, 4 GiB
	code.u32(0x0000ffff).u32(0x00af9b00); // 0x18: 64-bit code
	code
		.label("gdtPointer")
		.u16(4 * 8 - 1)
		.address32("gdt");
	code
		.label("idtPointer")
		.u16(256 * 16 - 1)
		.address32("idt")
		.u32(0);
	code.seek(0x2000).label("idt");
	for (let vector = 0; vector < 256; vector++) {
		const handler = vector === timerVector ? "timer" : vector === spuriousVector ? "spurious" : "exception";
		// Offset 15…0, selector, present interrupt gate, offset 31…16 (the ROM's), offset 63…32, reserved.
		code
			.offset16(handler)
			.u16(code64)
			.u16(0x8e00)
			.u16(romBase >>> 16)
			.u32(0)
			.u32(0);
	}
}
