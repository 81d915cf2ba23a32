//go:build man

package main

// The manual pages, from the commands themselves: go run -tags=man, by
// `make package`. No other build has this command.

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func init() {
	more = append(more, &cobra.Command{
		Use: "man DIR", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			root.DisableAutoGenTag = true
			day := time.Unix(0, 0).UTC() // the same pages from the same source
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make directory of the manual: %w", err)
			}
			return doc.GenManTree(root, &doc.GenManHeader{Title: "REDIS-WATCHDOG", Section: "1", Source: "redis-watchdog", Manual: "redis-watchdog", Date: &day}, args[0])
		},
	})
}
