package interop

import (
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestMetrics has Prometheus' own parser read what the daemons show after some traffic.
func TestMetrics(t *testing.T) {
	for _, frontend := range frontends[:3] {
		t.Run(frontend.name, func(t *testing.T) {
			pair := startPair(t, frontend.options)
			dial := frontend.dialer(t, pair.listener)
			fetches(t, dial, false, "HTTP/1.1")
			for _, d := range []*daemon{pair.server, pair.agent} {
				prefix := "konnectivity_network_proxy_" + strings.TrimPrefix(d.name, "proxy-") + "_"
				families := d.families(t)
				packets := families[prefix+"stream_packets_total"]
				if packets.GetType() != dto.MetricType_COUNTER || len(packets.GetMetric()) < 4 {
					t.Errorf("%s counts packets as %v", d.name, packets)
				}
				dials := families[prefix+"dial_duration_seconds"]
				if dials.GetType() != dto.MetricType_HISTOGRAM {
					t.Errorf("%s measures dials as %v", d.name, dials)
				}
				if families["process_open_fds"].GetType() != dto.MetricType_GAUGE {
					t.Errorf("%s tells nothing of its process", d.name)
				}
				for name, family := range families {
					if family.GetHelp() == "" {
						t.Errorf("%s: %s has no help", d.name, name)
					}
				}
			}
		})
	}
}

// families is all of /metrics; what the parser does not take fails the test.
func (d *daemon) families(t testing.TB) map[string]*dto.MetricFamily {
	t.Helper()
	text, err := d.fetch("/metrics")
	must(t, err)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	must(t, err)
	return families
}
