/** `limiquantix completion`: what a shell must know to complete our commands. */
import { usageError } from "../failure.ts";
import { type Verb, verb } from "../verb.ts";

const shells = ["bash", "zsh", "fish"] as const;

export const completionVerb: Verb = verb({
	name: "completion",
	summary: "Print a script with which a shell completes commands",
	examples: [
		"limiquantix completion bash > /etc/bash_completion.d/limiquantix",
		"limiquantix completion zsh > ~/.zfunc/_limiquantix",
		"limiquantix completion fish > ~/.config/fish/completions/limiquantix.fish",
	],
	arguments: { "<shell>": "bash, zsh or fish" },
	async run(cli, { shell: given }) {
		const shell = shells.find((one) => one === given);
		if (shell === undefined) throw usageError(`"${given}" is none of ${shells.join(", ")}.`);
		// Loaded late: the script is made of the tree, of which this verb is a part.
		const { completionScript } = await import("../completion/completion.ts");
		await cli.output.text(completionScript(shell), { raw: true });
	},
});
