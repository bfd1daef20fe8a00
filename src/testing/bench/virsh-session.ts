/** One virsh process that takes command after command: the fastest that its users have. */

/** virsh prints it after the answer. */
const marker = "limiquantix-end-of-answer";

export class VirshSession {
	readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
	#text = "";
	#onText: () => void = () => {};

	private constructor(child: Bun.Subprocess<"pipe", "pipe", "pipe">) {
		this.#child = child;
		for (const stream of [child.stdout, child.stderr]) void this.#read(stream);
	}

	static async start(uri: string): Promise<VirshSession> {
		const child = Bun.spawn(["virsh", "-q", "-c", uri], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
		const session = new VirshSession(child);
		await session.command("hostname");
		return session;
	}

	/** What it printed for `line`. */
	async command(line: string): Promise<string> {
		this.#text = "";
		this.#child.stdin.write(`${line}\necho ${marker}\n`);
		await this.#child.stdin.flush();
		// Not the echo of the command itself, which has the prompt before it.
		while (!this.#text.includes(`\n${marker}`))
			await new Promise<void>((resolve, reject) => {
				const timer = setTimeout(() => reject(new Error(`virsh does not answer: ${this.#text.slice(-500)}`)), 30_000);
				this.#onText = () => {
					clearTimeout(timer);
					resolve();
				};
			});
		return this.#text.slice(0, this.#text.lastIndexOf(marker));
	}

	async stop(): Promise<void> {
		this.#child.stdin.end();
		await this.#child.exited;
	}

	async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
		const decoder = new TextDecoder();
		for await (const chunk of stream) {
			this.#text += decoder.decode(chunk, { stream: true });
			this.#onText();
		}
	}
}
