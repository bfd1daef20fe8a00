/**
 * Questions to the person at the terminal. Secrets are read without echo. Bytes that came too early (pasted, typed
 * ahead) are kept for the next question.
 */
import { AppError } from "../lib/errors.ts";
import { interrupted, usageError } from "./failure.ts";
import type { CliIo } from "./io.ts";

const maxSecretCharacters = 1024;
const ctrlC = "\u0003";
const ctrlD = "\u0004";
const ctrlU = "\u0015";
const enter = /[\r\n]/;
const erase = /[\b\u007f]/;

export class Prompter {
	readonly #io: CliIo;
	readonly #interrupt: AbortSignal;
	#ahead = "";

	/** `interrupt` ends a question: Ctrl-C where the terminal is not raw, SIGTERM. */
	constructor(io: CliIo, interrupt: AbortSignal) {
		this.#io = io;
		this.#interrupt = interrupt;
	}

	/** Fails with a usage error when there is no terminal, `canceled` at Ctrl-C. */
	async secret(question: string): Promise<string> {
		const { stdin, stderr } = this.#io;
		if (!stdin.isTTY) throw usageError("There is no terminal to ask for the password on. Use --password-file.");
		stdin.setRaw(true);
		try {
			await stderr.write(question);
			const characters: string[] = [];
			for await (const character of this.#characters()) {
				if (enter.test(character)) return characters.join("");
				if (character === ctrlC || (character === ctrlD && characters.length === 0)) throw interrupted("Interrupted.");
				if (character === ctrlU) characters.length = 0;
				else if (erase.test(character)) characters.pop();
				else if (characters.length < maxSecretCharacters) characters.push(character);
			}
			throw new AppError("canceled", "The input ended.");
		} finally {
			stdin.setRaw(false);
			await stderr.write("\n");
		}
	}

	/** The line, without its end; null at end of file. */
	async line(question: string): Promise<string | null> {
		await this.#io.stderr.write(question);
		let line = "";
		for await (const character of this.#characters()) {
			if (character === "\n") return line.replace(/\r$/, "");
			if (line.length < maxSecretCharacters) line += character;
		}
		return line === "" ? null : line;
	}

	/** What was read ahead, then the terminal; leaving early puts the rest back. */
	async *#characters(): AsyncGenerator<string> {
		const decoder = new TextDecoder();
		const take = function* (prompter: Prompter) {
			while (prompter.#ahead !== "") {
				const [first = ""] = prompter.#ahead;
				prompter.#ahead = prompter.#ahead.slice(first.length);
				yield first;
			}
		};
		yield* take(this);
		for await (const chunk of this.#io.stdin.read(this.#interrupt)) {
			this.#ahead += decoder.decode(chunk, { stream: true });
			yield* take(this);
		}
		if (this.#interrupt.aborted) throw interrupted("Interrupted.");
	}
}

/** Asks before something cannot be undone. Without a terminal, only --yes is an answer. */
export async function confirm(
	{ io, prompter }: { io: CliIo; prompter: Prompter },
	question: string,
	yes: boolean,
): Promise<void> {
	if (yes) return;
	if (!io.stdin.isTTY) throw usageError(`${question} Say so with --yes.`);
	const answer = await prompter.line(`${question} [y/N] `);
	if (!/^y(es)?$/i.test(answer?.trim() ?? "")) throw new AppError("canceled", "Nothing was done.");
}

/** A name typed by hand, where a "y" would be typed too easily. Without a terminal only the option is an answer. */
export async function typed(
	{ io, prompter }: { io: CliIo; prompter: Prompter },
	name: string,
	option: string,
): Promise<string> {
	if (!io.stdin.isTTY) throw usageError(`This wants to be confirmed: ${option} ${name}`);
	return (await prompter.line(`Type ${name} to go on: `))?.trim() ?? "";
}
