from django.conf.urls import patterns

urlpatterns = patterns(
    'views',
    (r'^$', 'index'),
    (r'^say$', 'say'),
    (r'^_ah/channel/connected/$', 'connected'),
    (r'^_ah/channel/disconnected/$', 'disconnected'),
)
