{{- /* Every helper takes the root, or a dict of it and of the part (agent or server). */ -}}

{{- define "dialback.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What a selector may hold: it can't be changed later. */ -}}
{{- define "dialback.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "dialback.podLabels" -}}
k8s-app: {{ (get .root.Values .part).name }}
{{ include "dialback.selectorLabels" . }}
{{- with (get .root.Values .part).podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dialback.podAnnotations" -}}
{{- with get .root.Values .part -}}
{{- if $.root.Values.metrics.annotations }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .ports.health | quote }}
{{- end }}
{{- with .podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{- /* Versions are not for pods: a new version of the chart alone replaces none. */ -}}
{{- define "dialback.labels" -}}
k8s-app: {{ (get .root.Values .part).name }}
{{ include "dialback.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "dialback.serviceAccountName" -}}
{{- with get .root.Values .part -}}
{{ .serviceAccount.name | default .name }}
{{- end -}}
{{- end -}}

{{- define "dialback.agentHostNetwork" -}}
{{- if eq .Values.agent.kind "DaemonSet" -}}
{{ .Values.agent.daemonSet.hostNetwork }}
{{- else -}}
{{ .Values.agent.deployment.hostNetwork }}
{{- end -}}
{{- end -}}

{{- /* A server reviews tokens unless agents show certificates. */ -}}
{{- define "dialback.serverUsesTokens" -}}
{{- empty .Values.server.agents.caSecretName -}}
{{- end -}}

{{- /* The volumes of an agent, in its own pods and in the test's. */ -}}
{{- define "dialback.agentVolumes" -}}
- name: ca
  projected:
    sources:
    {{- with .Values.agent.ca }}
    {{- if .secretName }}
    - secret:
        name: {{ .secretName }}
        items:
        - key: {{ .key }}
          path: ca.crt
    {{- else }}
    - configMap:
        name: kube-root-ca.crt
        items:
        - key: ca.crt
          path: ca.crt
    {{- end }}
    {{- end }}
{{- with .Values.agent.certificate.secretName }}
- name: certificate
  secret:
    secretName: {{ . }}
    defaultMode: 288 # 0440
{{- end }}
{{- with .Values.agent.token }}
{{- if .enabled }}
- name: token
  projected:
    sources:
    - serviceAccountToken:
        path: konnectivity-agent-token
        audience: {{ .audience | quote }}
        expirationSeconds: {{ .expirationSeconds }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "dialback.agentVolumeMounts" -}}
- name: ca
  mountPath: /etc/dialback/ca
  readOnly: true
{{- if .Values.agent.certificate.secretName }}
- name: certificate
  mountPath: /etc/dialback/certificate
  readOnly: true
{{- end }}
{{- if .Values.agent.token.enabled }}
- name: token
  mountPath: /var/run/secrets/tokens
  readOnly: true
{{- end }}
{{- end -}}

{{- /* What an agent knows servers by, and what it shows them. */ -}}
{{- define "dialback.agentCredentials" -}}
- --ca-cert=/etc/dialback/ca/ca.crt
{{- if .Values.agent.certificate.secretName }}
- --agent-cert=/etc/dialback/certificate/tls.crt
- --agent-key=/etc/dialback/certificate/tls.key
{{- end }}
{{- if .Values.agent.token.enabled }}
- --service-account-token-path=/var/run/secrets/tokens/konnectivity-agent-token
{{- end }}
{{- end -}}
