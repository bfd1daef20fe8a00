/**
 * Progress on standard error: one line that is drawn anew on a terminal; elsewhere a line for each thing that changed.
 * Silent with --quiet, and when programs read standard error.
 */

import type { Cli } from "./cli.ts";
import { monotonicStep } from "./progress-steps.ts";
import { fit, visible } from "./terminal-text.ts";

export type Progress = {
	/** `percent` null: it cannot be known. */
	show(percent: number | null, message: string | null): Promise<void>;
	/** Takes the line away. */
	clear(): Promise<void>;
};

const barCells = 24;
const eraseLine = "\r\u001b[2K";
const spinner = ["|", "/", "-", "\\"];

export function createProgress(cli: Cli, title: string): Progress {
	if (cli.globals.quiet) return { show: async () => {}, clear: async () => {} };
	if (drawsProgress(cli)) return drawnProgress(cli, title);
	if (cli.output.format !== "table") return { show: async () => {}, clear: async () => {} };
	return lineProgress(cli, title);
}

export const drawsProgress = (cli: Cli): boolean =>
	cli.io.stderr.isTTY && cli.environment.TERM !== "dumb" && !cli.globals.quiet;

function drawnProgress(cli: Cli, title: string): Progress {
	const { stderr } = cli.io;
	let turn = 0;
	return {
		async show(percent, message) {
			turn += 1;
			const bar = percent === null ? `[${(spinner[turn % spinner.length] ?? "").padEnd(barCells)}]` : drawBar(percent);
			const text = `${visible(title)}  ${bar}${message ? `  ${visible(message)}` : ""}`;
			await stderr.write(`${eraseLine}${fit(text, Math.max(20, stderr.columns - 1))}`);
		},
		clear: () => stderr.write(eraseLine),
	};
}

export function drawBar(percent: number): string {
	const filled = Math.round((Math.min(100, Math.max(0, percent)) / 100) * barCells);
	return `[${"#".repeat(filled)}${".".repeat(barCells - filled)}] ${String(Math.floor(percent)).padStart(3)} %`;
}

function lineProgress(cli: Cli, title: string): Progress {
	const changed = monotonicStep();
	return {
		async show(percent, message) {
			if (!changed(percent, message)) return;
			const parts = [percent === null ? null : `${Math.floor(percent)} %`, message].filter((part) => part !== null);
			await cli.note(`${visible(title)}: ${parts.length > 0 ? parts.join(", ") : "under way"}`);
		},
		clear: async () => {},
	};
}
