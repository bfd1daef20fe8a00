/** What the UI itself says when a call fails. Messages of the API are shown as they come. */
export const errors = {
	timeout: "The node did not answer in time. Whether the request was carried out is not known.",
	offline: "The node cannot be reached. Check the network, then try again.",
	status: (status: number) => `The node answered with status ${status} and no explanation.`,
	chunk: "A part of this page could not be loaded. The node may have been updated: reload the page.",
	reload: "Reload the page",
	retry: "Try again",
	copy: "Copy details",
	copied: "Copied",
	loadFailed: "This could not be loaded",
	notifications: "Notifications",
	crashed: "This page failed",
	crashedText: "The rest of the console still works. Copying the details helps whoever looks into it.",
} as const;
