// Command ferretdb serves the MongoDB protocol on top of PostgreSQL with DocumentDB.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/v2/ferretdb"
)

func main() {
	listen := flag.String("listen", "", "address to listen on, as host:port")
	postgres := flag.String("postgres", "", "URL of the PostgreSQL server")
	stateDir := flag.String("state-dir", "", "directory for the server's own state")
	flag.Parse()

	telemetry := false
	server, err := ferretdb.New(&ferretdb.Config{
		PostgreSQLURL: *postgres,
		ListenAddr:    *listen,
		StateDir:      *stateDir,
		Telemetry:     &telemetry,
		LogLevel:      slog.LevelWarn,
		LogOutput:     os.Stderr,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed to start ferretdb:", err)
		os.Exit(1)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server.Run(ctx)
}
